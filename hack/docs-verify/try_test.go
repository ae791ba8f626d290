package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// follow runs a page's text in an empty directory, without a cluster.
func follow(t *testing.T, text string) (dir string, err error) {
	t.Helper()
	p, err := newPlan("page", text)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: t.TempDir(), environ: os.Environ()}
	return w.dir, w.follow(t.Context(), p)
}

func TestBlocksShareOneShell(t *testing.T) {
	dir, err := follow(t, "```sh\nNAME=value\n```\ntext\n```sh\necho $NAME > file\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(got) != "value\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFilesAreSavedAsTheyAre(t *testing.T) {
	const content = "a: '$HOME `b` \\'\n\nc: d\n"
	dir, err := follow(t, "<!-- docs-verify: save as it.yaml -->\n```yaml\n"+content+"```\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "it.yaml")); err != nil || string(got) != content {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestThePasswordIsThereForWhoAsks(t *testing.T) {
	if _, err := follow(t, "```sh\nread -r GIVEN\n[[ $GIVEN == '"+password+"' ]]\n```\n"); err != nil {
		t.Error(err)
	}
}

func TestTheBlockThatFailsIsNamed(t *testing.T) {
	for name, block := range map[string]string{
		"a command":               "echo said before\nfalse\n",
		"a part of a pipe":        "echo said before\nfalse | true\n",
		"an end in the middle":    "echo said before\nexit 3\n",
		"a variable of a command": "echo said before\nX=$(false)\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := follow(t, "```sh\ntrue\n```\n```sh\n"+block+"```\n```sh\ntouch afterwards\n```\n")
			if err == nil || !strings.Contains(err.Error(), "page:4:") || !strings.Contains(err.Error(), "said before") {
				t.Errorf("want an error that names page:4 and what was said, got %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "afterwards")); err == nil {
				t.Error("the next block ran all the same")
			}
		})
	}
}

func TestReport(t *testing.T) {
	good := plan{path: "good", steps: []step{{at: "good:1", text: "true\n"}}, skipped: []skipped{{"good:9", "it never ends", ""}}}
	for name, c := range map[string]struct {
		outcomes []outcome
		want     string // of the output
		failure  string // of the error; "" for none
	}{
		"all is well":   {[]outcome{{plan: good}}, "good:9                       skipped: it never ends\n", ""},
		"a page fails":  {[]outcome{{plan: good}, {plan: plan{path: "bad"}, err: errors.New("why")}}, "FAILED: why", "bad"},
		"nothing to do": {[]outcome{{plan: plan{path: "empty"}}}, "", "no block"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := report(&out, slices.Values(c.outcomes))
			if (err == nil) != (c.failure == "") || err != nil && !strings.Contains(err.Error(), c.failure) {
				t.Errorf("want the error %q, got %v", c.failure, err)
			}
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("want %q in\n%s", c.want, out.String())
			}
		})
	}
}
