package controllers

import (
	"slices"
	"strings"
	"testing"
)

func TestPagesAreTakenOnlyFromWhatTheKernelCanReadAgain(t *testing.T) {
	const (
		text    = "00400000-0183d000 r-xp 00000000 fe:00 9986563                            /manager\n"
		data    = "02dc4000-02e5e000 rw-p 029c4000 fe:00 9986563                            /manager\n"
		heap    = "c000000000-c000400000 rw-p 00000000 00:00 0 \n"
		library = "7f0000000000-7f0000001000 r-xp 00000000 fe:00 77                         /lib/libc.so\n"
		clean   = "Rss:                 100 kB\nPrivate_Dirty:       100 kB\nAnonymous:             0 kB\nSwap:                  0 kB\nVmFlags: rd ex mr mw me \n"
		copied  = "Rss:                 100 kB\nPrivate_Clean:        96 kB\nAnonymous:             4 kB\nSwap:                  0 kB\nVmFlags: rd ex mr mw me \n"
		swapped = "Rss:                 100 kB\nPrivate_Clean:        96 kB\nAnonymous:             0 kB\nSwap:                  4 kB\nVmFlags: rd ex mr mw me \n"
		silent  = "Rss:                 100 kB\n"
	)
	program := []mapping{{0x400000, 0x143d000}}
	for name, tt := range map[string]struct {
		smaps string
		want  []mapping
	}{
		"the program's text":                     {text + clean, program},
		"among others":                           {library + clean + text + clean + data + clean + heap + clean, program},
		"what can be written":                    {data + clean, nil},
		"another file":                           {library + clean, nil},
		"a text that a debugger has written to":  {text + copied, nil},
		"one whose copies were swapped out":      {text + swapped, nil},
		"one of which this kernel tells nothing": {text + silent, nil},
		"one of which the next tells":            {text + silent + library + clean, nil},
		"nothing":                                {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cleanMappings(strings.NewReader(tt.smaps), "/manager")
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %x, %v, want %x", got, err, tt.want)
			}
		})
	}
}

func TestWhatIsNoMappingIsAnError(t *testing.T) {
	for _, line := range []string{"", "x", "0-1", "zz-01 r-xp 0 0 0 /manager", "02-01 r-xp 0 0 0 /manager", "01- r-xp 0 0 0 /manager"} {
		if got, err := cleanMappings(strings.NewReader(line+"\n"), "/manager"); err == nil {
			t.Errorf("%q: got %x", line, got)
		}
	}
}

func FuzzCleanMappings(f *testing.F) {
	f.Add("00400000-0183d000 r-xp 00000000 fe:00 9986563 /manager\nAnonymous:             0 kB\n")
	f.Add("c000000000-c000400000 rw-p 00000000 00:00 0 \nAnonymous:             0 kB\n")
	f.Fuzz(func(t *testing.T, smaps string) {
		got, err := cleanMappings(strings.NewReader(smaps), "/manager")
		if err == nil && len(got) > 0 && (!strings.Contains(smaps, "/manager") || !strings.Contains(smaps, "Anonymous:")) {
			t.Errorf("got %x of %q", got, smaps)
		}
	})
}
