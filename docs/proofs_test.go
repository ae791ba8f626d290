package docs_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// quoted is a test by its words, after a link to its file.
	quoted = regexp.MustCompile(`\]\(([^)\s]+_test\.go)\) "([^"]+)"`)
	source = regexp.MustCompile(`\]\(https://[^)\s]+\)`)
	page   = regexp.MustCompile(`\]\([a-z-]+\.md\)`)
)

func TestTestsThatPagesNameExist(t *testing.T) {
	named := 0
	for path, text := range documents(t) {
		for _, match := range quoted.FindAllStringSubmatch(text, -1) {
			named++
			file := read(t, filepath.Join(filepath.Dir(path), match[1]))
			if !strings.Contains(file, `"`+match[2]+`"`) && !strings.Contains(file, "func "+match[2]+"(") {
				t.Errorf("%s names the test %q, which %s does not have", path, match[2], match[1])
			}
		}
	}
	if named == 0 {
		t.Error("no page names a test")
	}
}

// In the tables that promise it, each row ends with what shows it: a test, a source, or another page, which is tested itself.
func TestClaimsAreShown(t *testing.T) {
	for path, heading := range map[string]string{"comparison.md": "Shown by", "upgrading.md": "Kept by"} {
		claims, inTable := 0, false
		for line := range strings.Lines(read(t, path)) {
			cells := strings.Split(strings.Trim(line, "|\n"), "|")
			last := strings.TrimSpace(cells[len(cells)-1])
			switch {
			case !strings.HasPrefix(line, "|"):
				inTable = false
			case last == heading:
				inTable = true
			case inTable && !strings.HasPrefix(last, "---"):
				claims++
				if !quoted.MatchString(last) && !source.MatchString(last) && !page.MatchString(last) && last != "the release notes" {
					t.Errorf("%s: nothing shows this: %s", path, line)
				}
			}
		}
		if claims < 5 {
			t.Errorf("%s: found %d rows below %q", path, claims, heading)
		}
	}
}
