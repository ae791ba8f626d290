package markdown_test

import (
	"reflect"
	"testing"

	"tokensync.dev/secret-server-operator/hack/markdown"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want markdown.Page
	}{
		"a block with its language and place": {
			"# Title\n\n```sh\none\n\ntwo\n```\nafter\n",
			markdown.Page{Blocks: []markdown.Block{{Line: 3, Language: "sh", Text: "one\n\ntwo\n"}}},
		},
		"an indented block, without the indentation": {
			"- item\n\n  ```yaml\n  a:\n    b: 1\n  ```\n",
			markdown.Page{Blocks: []markdown.Block{{Line: 3, Language: "yaml", Text: "a:\n  b: 1\n"}}},
		},
		"a note for the block after it": {
			"<!-- docs-verify: skip because -->\n\n```sh\n```\n```sh\n```\n",
			markdown.Page{Blocks: []markdown.Block{{Line: 3, Language: "sh", Note: "skip because"}, {Line: 5, Language: "sh"}}},
		},
		"a note for the page, as there is text between it and the block": {
			"<!-- docs-verify: from nothing -->\ntext\n```sh\n```\n",
			markdown.Page{Blocks: []markdown.Block{{Line: 3, Language: "sh"}}, Notes: []string{"from nothing"}},
		},
		"fences and notes within a longer fence are text": {
			"````markdown\n<!-- docs-verify: x -->\n```sh\n```\n````\n",
			markdown.Page{Blocks: []markdown.Block{{Line: 1, Language: "markdown", Text: "<!-- docs-verify: x -->\n```sh\n```\n"}}},
		},
		"a block that is not closed": {
			"```sh\none\n",
			markdown.Page{Blocks: []markdown.Block{{Line: 1, Language: "sh", Text: "one\n"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := markdown.Parse(c.text); !reflect.DeepEqual(got, c.want) {
				t.Errorf("\ngot  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
