package main

import (
	"errors"
	"strings"
	"testing"
)

const document = `# Title

<!-- screen: kubectl get sss -o wide -->
old
<!-- end of screen -->

The rest.
`

func printing(output string) func([]string) (string, error) {
	return func([]string) (string, error) { return output, nil }
}

func TestRenewPutsTheOutputInItsPlace(t *testing.T) {
	var asked []string
	got, err := renew(document, func(command []string) (string, error) {
		asked = command
		return "NAME  AGE   \nbilling  3s  \n\n", nil
	})
	want := "# Title\n\n<!-- screen: kubectl get sss -o wide -->\n\n```text\n$ kubectl get sss -o wide\nNAME  AGE\nbilling  3s\n```\n\n" +
		"<!-- end of screen -->\n\nThe rest.\n"
	if err != nil || got != want || strings.Join(asked, " ") != "get sss -o wide" {
		t.Errorf("asked %q, %v, got\n%s", asked, err, got)
	}
	if again, err := renew(got, printing("NAME  AGE\nbilling  3s")); err != nil || again != got {
		t.Errorf("another time, %v:\n%s", err, again)
	}
}

func TestRenewNeedsAPlaceAndAnOutput(t *testing.T) {
	if _, err := renew("# Title\n", printing("x")); err == nil {
		t.Error("a document without a place is renewed")
	}
	if _, err := renew(document, func([]string) (string, error) { return "", errors.New("no kubectl") }); err == nil {
		t.Error("a command that fails is no error")
	}
}

func TestCompareForgivesWhatIsVolatile(t *testing.T) {
	show := func(output string) string {
		shown, err := renew(document, printing(output))
		if err != nil {
			t.Fatal(err)
		}
		return shown
	}
	before := show("NAME      EXPIRES                AGE\nbilling   2026-03-02T12:20:00Z   3s\nUID:  0c7c1d3a-0f5b-4f0e-8f0a-000000000001\nNormal  2m3s (x4 over 5m)  from")
	for name, c := range map[string]struct {
		after string
		same  bool
	}{
		"the same":       {"NAME      EXPIRES                AGE\nbilling   2026-03-02T12:20:00Z   3s\nUID:  0c7c1d3a-0f5b-4f0e-8f0a-000000000001\nNormal  2m3s (x4 over 5m)  from", true},
		"another moment": {"NAME      EXPIRES                AGE\nbilling   2027-03-02T12:20:00Z   2m13s\nUID:  0c7c1d3a-0f5b-4f0e-8f0a-000000000002\nNormal  3s  from", true},
		"another state":  {"NAME      EXPIRES                AGE\nbilling                          3s\nUID:  0c7c1d3a-0f5b-4f0e-8f0a-000000000001\nNormal  2m3s  from", false},
		"a line less":    {"NAME      EXPIRES                AGE\nbilling   2026-03-02T12:20:00Z   3s", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := compare(before, show(c.after)); (err == nil) != c.same {
				t.Errorf("got %v", err)
			}
		})
	}
}
