package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// screen is a command's place in a document: its line, what stands between, and the line that ends it.
var screen = regexp.MustCompile("(?s)(<!-- screen: kubectl ([^\n]*) -->\n)(.*?)(<!-- end of screen -->\n)")

// renew puts what the commands print now into a document.
func renew(document string, kubectl func(command []string) (string, error)) (string, error) {
	var errs []error
	if !screen.MatchString(document) {
		return "", errors.New("there is no line <!-- screen: kubectl ... --> with an end")
	}
	renewed := screen.ReplaceAllStringFunc(document, func(found string) string {
		parts := screen.FindStringSubmatch(found)
		output, err := kubectl(strings.Fields(parts[2]))
		if err != nil {
			errs = append(errs, err)
		}
		return parts[1] + "\n```text\n$ kubectl " + parts[2] + "\n" + trimLines(output) + "\n```\n\n" + parts[4]
	})
	return renewed, errors.Join(errs...)
}

// trimLines takes away the blanks with which kubectl fills the last column, and empty lines at the end.
func trimLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight(line, " \t\n"))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// volatile is what differs from run to run, with what stands for it. Widths of columns differ with it.
var volatile = []struct { //nolint:gochecknoglobals // compiled once, never changed
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "<time>"},
	{regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "<uid>"},
	{regexp.MustCompile(`(Resource Version: +)\d+`), "$1<version>"},
	{regexp.MustCompile(`(Consecutive Failures: +)\d+`), "$1<number>"},
	{regexp.MustCompile(`\b(\d+[smhd])+ \(x\d+ over (\d+[smhd])+\)`), "<age>"},
	{regexp.MustCompile(`\b(\d+[smhd])+( |\n)`), "<age>$2"},
	{regexp.MustCompile(`-{4,}`), "---"},
	{regexp.MustCompile(` {2,}`), " "},
}

// compare tells of the first line in which two documents differ, but for what is volatile.
func compare(document, renewed string) error {
	want, got := strings.Split(lasting(document), "\n"), strings.Split(lasting(renewed), "\n")
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			return fmt.Errorf("what kubectl shows has changed; run `make screens` and commit the result. "+
				"The first line that differs:\n  shown: %s\n  now:   %s", at(want, i), at(got, i))
		}
	}
	return nil
}

// lasting is a document without what is volatile.
func lasting(document string) string {
	for _, v := range volatile {
		document = v.pattern.ReplaceAllString(document, v.instead)
	}
	return document
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}
