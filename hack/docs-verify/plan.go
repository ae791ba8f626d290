package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tokensync.dev/secret-server-operator/hack/markdown"
)

// The notes that a page may hold, after "docs-verify: ".
const (
	// skipBecause goes before a shell block that is only parsed, or YAML that is no object, with the reason behind it.
	skipBecause = "skip because "
	// saveAs goes before a block that a reader saves, with the file's name behind it.
	saveAs = "save as "
	// fromNothing says that the page begins with the operator installed and nothing else. Otherwise it begins with the
	// account, the CA and the session of the README's quickstart, which is Ready.
	fromNothing = "from nothing"
)

// A plan is what is to be done with a page.
type plan struct {
	path        string
	fromNothing bool
	steps       []step
	skipped     []skipped
}

// A step is a block that is run, or saved if it has a file.
type step struct {
	at, text, file string
}

type skipped struct{ at, reason, text string }

// runs counts the blocks that are run.
func (p plan) runs() int {
	n := 0
	for _, s := range p.steps {
		if s.file == "" {
			n++
		}
	}
	return n
}

// newPlan is pure. It is an error if a note makes no sense where it stands.
func newPlan(path, text string) (plan, error) {
	p := plan{path: path}
	page := markdown.Parse(text)
	for _, note := range page.Notes {
		if note != fromNothing {
			return p, fmt.Errorf("%s: the note %q has no block after it that it could be about", path, note)
		}
		p.fromNothing = true
	}
	for _, block := range page.Blocks {
		at := fmt.Sprintf("%s:%d", path, block.Line)
		shell := block.Language == "sh" || block.Language == "bash"
		reason, skip := strings.CutPrefix(block.Note, skipBecause)
		file, save := strings.CutPrefix(block.Note, saveAs)
		switch {
		case skip && shell:
			p.skipped = append(p.skipped, skipped{at, reason, block.Text})
		case skip && block.Language == "yaml": // docs/examples_test.go leaves it out
		case save && !shell && filepath.IsLocal(file):
			p.steps = append(p.steps, step{at, block.Text, file})
		case block.Note != "":
			return p, fmt.Errorf("%s: the note %q says nothing about a block of %s", at, block.Note, block.Language)
		case shell:
			p.steps = append(p.steps, step{at: at, text: block.Text})
		}
	}
	return p, nil
}

// script is what bash runs: the steps in their order, in one shell. Before each it writes to descriptor 9 where it is.
func (p plan) script() string {
	var b strings.Builder
	b.WriteString("set -eo pipefail\n")
	for i, s := range p.steps {
		fmt.Fprintf(&b, "echo %d >&9\n", i)
		if s.file == "" {
			b.WriteString(s.text)
			continue
		}
		end := fmt.Sprintf("END_OF_STEP_%d", i)
		fmt.Fprintf(&b, "cat >'%s' <<'%s'\n%s%s\n", s.file, end, s.text, end)
	}
	return b.String()
}

// parses reports what bash has to say of shell blocks, run or not.
func (p plan) parses(ctx context.Context) error {
	texts := map[string]string{}
	for _, s := range p.skipped {
		texts[s.at] = s.text
	}
	for _, s := range p.steps {
		if s.file == "" {
			texts[s.at] = s.text
		}
	}
	for at, text := range texts {
		bash := exec.CommandContext(ctx, "bash", "-n")
		bash.Stdin = strings.NewReader(text)
		if said, err := bash.CombinedOutput(); err != nil {
			return fmt.Errorf("%s is no shell script: %w\n%s", at, err, said)
		}
	}
	return nil
}

// plans reads the pages, the README first.
func plans(ctx context.Context, root string) ([]plan, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	var all []plan
	for _, path := range append([]string{filepath.Join(root, "README.md")}, paths...) {
		text, err := os.ReadFile(path) //nolint:gosec // a page of the repository
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		p, err := newPlan(name, string(text))
		if err != nil {
			return nil, err
		}
		if err := p.parses(ctx); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
