package docs_test

import (
	"regexp"
	"slices"
	"testing"
)

// flagSpan is what stands in backquotes and begins with two dashes.
var flagSpan = regexp.MustCompile("`--([a-z][a-z-]*)[^`\n]*`")

// othersFlags are those of kubectl, helm and other programs that pages name outside of commands.
func othersFlags() []string {
	return []string{
		"force-conflicts", "previous", "reset-then-reuse-values", "reuse-values", "set", "take-ownership",
		// controller-runtime's own and the logger's
		"kubeconfig", "zap-devel", "zap-encoder", "zap-log-level", "zap-stacktrace-level", "zap-time-encoding",
	}
}

func TestFlagsThatPagesNameExist(t *testing.T) {
	known := flags(t, "../main.go")
	named := 0
	for path, text := range documents(t) {
		for _, match := range flagSpan.FindAllStringSubmatch(text, -1) {
			named++
			if !slices.Contains(known, "--"+match[1]) && !slices.Contains(othersFlags(), match[1]) {
				t.Errorf("%s names --%s, which the operator does not have. Of another program? Then add it to othersFlags", path, match[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("found %d flags", named)
	}
}
