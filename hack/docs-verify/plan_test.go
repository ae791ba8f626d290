package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want plan
	}{
		"blocks of shell are run in their order": {
			"```sh\none\n```\n```yaml\na: b\n```\n```bash\ntwo\n```\n",
			plan{steps: []step{{at: "page:1", text: "one\n"}, {at: "page:7", text: "two\n"}}},
		},
		"one that says why it cannot be run is not": {
			"<!-- docs-verify: skip because it never ends -->\n```sh\none\n```\n",
			plan{skipped: []skipped{{"page:2", "it never ends", "one\n"}}},
		},
		"a block can be saved for those after it": {
			"<!-- docs-verify: save as a.yaml -->\n```yaml\na: b\n```\n",
			plan{steps: []step{{"page:2", "a: b\n", "a.yaml"}}},
		},
		"a page can begin from nothing": {
			"<!-- docs-verify: from nothing -->\ntext\n",
			plan{fromNothing: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.path = "page"
			if got, err := newPlan("page", c.text); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("\ngot  %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestNotesThatMakeNoSenseAreErrors(t *testing.T) {
	for name, text := range map[string]string{
		"no reason":                     "<!-- docs-verify: skip -->\n```sh\n```\n",
		"an empty reason":               "<!-- docs-verify: skip because -->\n```sh\n```\n",
		"nothing to skip":               "<!-- docs-verify: skip because of this -->\n```go\n```\n",
		"nothing after it":              "<!-- docs-verify: skip because of this -->\ntext\n",
		"a file outside the page's own": "<!-- docs-verify: save as ../a -->\n```yaml\n```\n",
		"words nobody knows":            "<!-- docs-verify: quickly -->\ntext\n",
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := newPlan("page", text); err == nil {
				t.Errorf("want an error, got %+v", p)
			}
		})
	}
}

func TestPagesOfTheHandbookCanBePlanned(t *testing.T) {
	all, err := plans(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	if all[0].path != "README.md" || !all[0].fromNothing {
		t.Errorf("want the README first, from nothing: its quickstart is what the others begin with; got %s", all[0].path)
	}
}

func TestShellThatDoesNotParseIsAnErrorEvenIfItIsSkipped(t *testing.T) {
	for _, note := range []string{"", "<!-- docs-verify: skip because of this -->\n"} {
		p, err := newPlan("page", note+"```sh\nif true\n```\n")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.parses(t.Context()); err == nil || !strings.Contains(err.Error(), "page:") {
			t.Errorf("with the note %q: want an error that names the place, got %v", note, err)
		}
	}
}
