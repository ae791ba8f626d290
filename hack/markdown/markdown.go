// Package markdown finds the fenced blocks of a Markdown text, for those who check what the documents show.
package markdown

import (
	"regexp"
	"strings"
)

// A Page is what the checks need of a document.
type Page struct {
	Blocks []Block
	Notes  []string // those that do not belong to a block
}

// A Block is what stands between two fences.
type Block struct {
	Line     int    // of the opening fence, the first line of the text being 1
	Language string // what the fence names, such as sh or yaml
	Text     string // without the indentation of the fence; ends with a newline unless it is empty
	Note     string // what the comment before it says, if there is one
}

var (
	fence = regexp.MustCompile("^( *)(`{3,})([a-z]*)$")
	note  = regexp.MustCompile(`^ *<!-- docs-verify: (.+) -->$`)
)

// Parse reads a text. A note is a comment on a line of its own, <!-- docs-verify: ... -->; it belongs to the block that comes
// next if nothing but blank lines is between them. A block that is not closed ends with the text.
func Parse(text string) Page {
	var (
		page    Page
		block   *Block // the open one
		closing string // the fence that ends it
		indent  string
		pending string // a note that may belong to a block
	)
	keep := func() {
		if pending != "" {
			page.Notes = append(page.Notes, pending)
			pending = ""
		}
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(line, "\n")
		opening := fence.FindStringSubmatch(line)
		said := note.FindStringSubmatch(line)
		switch {
		case block != nil && strings.TrimSpace(line) == closing:
			block = nil
		case block != nil:
			block.Text += strings.TrimPrefix(line, indent) + "\n"
		case opening != nil:
			indent, closing = opening[1], opening[2]
			page.Blocks = append(page.Blocks, Block{Line: number, Language: opening[3], Note: pending})
			block, pending = &page.Blocks[len(page.Blocks)-1], ""
		case said != nil:
			keep()
			pending = said[1]
		case strings.TrimSpace(line) != "":
			keep()
		}
	}
	keep()
	return page
}
