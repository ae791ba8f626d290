package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"tokensync.dev/secret-server-operator/hack/e2e/figures"
)

// pollLogs is how often the pods' lines are looked for.
const pollLogs = time.Second

// Names of the entries in Ginkgo's report that the table is made of.
const (
	entryFigures = "figures"
	entryNote    = "note"
)

func reportFigures(f figures.Figures) { AddReportEntry(entryFigures, f, ReportEntryVisibilityNever) }

// note adds a line below the table.
func note(format string, args ...any) {
	AddReportEntry(entryNote, fmt.Sprintf(format, args...), ReportEntryVisibilityNever)
}

var _ = ReportAfterSuite("table", func(report Report) {
	table := tabulate(report)
	fmt.Fprint(os.Stdout, "\n", table, "\n") //nolint:errcheck // where it cannot be read, nobody misses it
	if path := os.Getenv("E2E_REPORT"); path != "" {
		Expect(os.WriteFile(path, []byte(table), 0o600)).To(Succeed())
	}
})

// tabulate tells of each scenario how it went, and what its consumers lived through.
func tabulate(report Report) string {
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	var notes []string
	rows := "SCENARIO\tRESULT\tTIME\tCALLS\tREFUSED\tUNANSWERED\tNEW TOKENS\tLONGEST GAP\n"
	for _, spec := range report.SpecReports {
		if spec.LeafNodeType != types.NodeTypeIt || spec.State.Is(types.SpecStateSkipped|types.SpecStatePending) {
			continue
		}
		result := "pass"
		if spec.Failed() {
			result = "FAIL"
		}
		rows += fmt.Sprintf("%s\t%s\t%.1f s\t%s\n", spec.FullText(), result, spec.RunTime.Seconds(), cells(spec))
		for _, entry := range spec.ReportEntries {
			if entry.Name == entryNote {
				notes = append(notes, entry.StringRepresentation())
			}
		}
	}
	_, err := io.WriteString(out, rows)
	Expect(errors.Join(err, out.Flush())).To(Succeed())
	for _, line := range notes {
		text.WriteString(line + "\n")
	}
	return text.String()
}

// cells are the columns that tell of consumers.
func cells(spec types.SpecReport) string {
	for _, entry := range spec.ReportEntries {
		if f, ok := entry.GetRawValue().(figures.Figures); ok {
			return fmt.Sprintf("%d\t%d\t%d\t%d\t%.1f s", f.Calls, f.Refused, f.Failed, f.Refreshes(), f.LongestGap)
		}
	}
	return "-\t-\t-\t-\t-"
}

// noteLags tells how late new tokens reached the pods.
func noteLags(f figures.Figures) {
	lags := slices.Sorted(slices.Values(f.Lags))
	if len(lags) == 0 || f.LeastReserve == nil {
		return
	}
	note("In a watch of %s with tokens of %s, renewed after %d %% of it at the latest, a new token reached a pod %d times:",
		settings.watch, settings.lifetime, settings.percent, len(lags))
	note("%.1f s after it was asked for at the least, %.1f s in the middle, %.1f s at the most;", lags[0], lags[len(lags)/2], lags[len(lags)-1])
	note("the one before was then good for another %.1f s at the least.", *f.LeastReserve)
}
