package controllers

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// fileMemory is how much of this process's resident memory is of files, in KiB.
func fileMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Skip("this kernel does not tell RssFile")
	return 0
}

func TestTheProgramRunsOnWithoutItsPages(t *testing.T) {
	before := fileMemory(t)
	if err := releaseProgram(); err != nil {
		t.Fatal(err)
	}
	if after := fileMemory(t); after > before*3/4 {
		t.Errorf("%d KiB of files are resident, and were %d KiB", after, before)
	}
}
