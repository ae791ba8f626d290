package main

import (
	"fmt"
	"os"
	"strings"
)

// The table stands between these lines.
const (
	tableBegins = "<!-- The table is made by `make chart` from values.yaml. -->\n"
	tableEnds   = "<!-- The table ends here. -->\n"
)

// writeTable puts the table of the values into the document.
func writeTable(values, document string) error {
	rows, err := readValues(values)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(document) //nolint:gosec // of the repository
	if err != nil {
		return err
	}
	text, err := replaceTable(string(content), table(rows))
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, []byte(text), 0o644) //nolint:gosec // as git makes it
}

func replaceTable(text, table string) (string, error) {
	before, rest, begun := strings.Cut(text, tableBegins)
	_, after, ended := strings.Cut(rest, tableEnds)
	if !begun || !ended {
		return "", fmt.Errorf("there is no place for the table: the lines %q and %q", tableBegins, tableEnds)
	}
	return before + tableBegins + "\n" + table + "\n" + tableEnds + after, nil
}

func table(rows []value) string {
	var out strings.Builder
	out.WriteString("| Value | Default | Meaning |\n|---|---|---|\n")
	for _, row := range rows {
		// A bar would end the cell.
		fmt.Fprintf(&out, "| `%s` | `%s` | %s |\n", row.name, row.fallback, strings.ReplaceAll(row.meaning, "|", `\|`))
	}
	return out.String()
}
