package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A figure is one row of the table.
type figure struct {
	Part     string `json:"part"`
	Sessions int    `json:"sessions,omitempty"`
	What     string `json:"what"`
	// Value is a count, a size, or a ratio to the bare client of the run.
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
	// Absolute is information beside a ratio: it says something of this machine at this time.
	Absolute string `json:"absolute,omitempty"`
	// AtLeast and AtMost are what is wanted.
	AtLeast *float64 `json:"atLeast,omitempty"`
	AtMost  *float64 `json:"atMost,omitempty"`
	// Timed: the value depends on how fast and how quiet the machine is.
	Timed bool `json:"timed,omitempty"`
}

const ratio = "x bare"

// missed reports whether the value is not what is wanted.
func (f figure) missed() bool {
	return (f.AtLeast != nil && f.Value < *f.AtLeast) || (f.AtMost != nil && f.Value > *f.AtMost)
}

func (f figure) wanted() string {
	switch {
	case f.AtLeast != nil && f.AtMost != nil && *f.AtLeast == *f.AtMost:
		return "= " + number(*f.AtMost)
	case f.AtLeast != nil && f.AtMost != nil:
		return number(*f.AtLeast) + " to " + number(*f.AtMost)
	case f.AtLeast != nil:
		return "&ge; " + number(*f.AtLeast)
	case f.AtMost != nil:
		return "&le; " + number(*f.AtMost)
	}
	return ""
}

// number shows three digits or so.
func number(v float64) string {
	switch {
	case v == float64(int64(v)):
		return strconv.FormatInt(int64(v), 10)
	case v < 0.1 && v > -0.1:
		return fmt.Sprintf("%.4f", v)
	case v < 100:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// atMost, atLeast and exactly say what is wanted of a figure.
func (f figure) atMost(v float64) figure  { f.AtMost = &v; return f }
func (f figure) atLeast(v float64) figure { f.AtLeast = &v; return f }
func (f figure) exactly(v float64) figure { f.AtLeast, f.AtMost = &v, &v; return f }

// timed says that the value depends on the machine.
func (f figure) timed() figure { f.Timed = true; return f }

// with adds information.
func (f figure) with(format string, args ...any) figure {
	f.Absolute = fmt.Sprintf(format, args...)
	return f
}

// A report is what a run has found.
type report struct {
	Machine  string        `json:"machine"`
	Go       string        `json:"go"`
	Started  time.Time     `json:"started"`
	Took     time.Duration `json:"took"`
	Command  string        `json:"command"`
	Figures  []figure      `json:"figures"`
	Lateness []curve       `json:"lateness,omitempty"`
	Memory   []curve       `json:"memory,omitempty"`
}

// A curve is what is drawn over the number of sessions.
type curve struct {
	Name   string    `json:"name"`
	X      []float64 `json:"x"`
	Y      []float64 `json:"y"`
	Wanted bool      `json:"wanted,omitempty"` // what is wanted, not what was seen
}

// add takes a point into the curve of a name.
func add(curves []curve, name string, x, y float64) []curve {
	for i := range curves {
		if curves[i].Name == name {
			curves[i].X, curves[i].Y = append(curves[i].X, x), append(curves[i].Y, y)
			return curves
		}
	}
	return append(curves, curve{Name: name, X: []float64{x}, Y: []float64{y}})
}

// missed counts the figures that are not as wanted; without strict, those alone that no machine can excuse.
func (r *report) missed(strict bool) int {
	count := 0
	for _, f := range r.Figures {
		if f.missed() && (strict || !f.Timed) {
			count++
		}
	}
	return count
}

// arrange puts the figures in the order of the parts: some of these are measured while another one is.
func (r *report) arrange() {
	slices.SortStableFunc(r.Figures, func(a, b figure) int {
		return cmp.Compare(slices.Index(reported, a.Part), slices.Index(reported, b.Part))
	})
}

// table is the whole in Markdown.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; %s, %.0f s, by `%s`\n\n", r.Machine, r.Go, r.Started.UTC().Format(time.DateOnly), r.Took.Seconds(), r.Command)
	b.WriteString("| Part | Sessions | Figure | Value | Absolute | Wanted | |\n|---|---|---|---|---|---|---|\n")
	for _, f := range r.Figures {
		sessions, mark := "", ""
		if f.Sessions > 0 {
			sessions = number(float64(f.Sessions))
		}
		if f.wanted() != "" {
			mark = "ok"
		}
		if f.missed() {
			mark = "FAILED"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n",
			f.Part, sessions, f.What, strings.TrimSpace(number(f.Value)+" "+f.Unit), f.Absolute, f.wanted(), mark)
	}
	return b.String()
}

// write prints the table, and writes it, the figures and the plots into the directory of results.
func (r *report) write(o options, out io.Writer) error {
	if len(r.Figures) == 0 {
		return nil
	}
	r.Took = time.Since(r.Started).Round(time.Second)
	r.arrange()
	figures, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	table := r.table()
	_, err = io.WriteString(out, table)
	return errors.Join(err,
		os.WriteFile(filepath.Join(o.out, "bench.md"), []byte(table), 0o600),
		os.WriteFile(filepath.Join(o.out, "bench.json"), append(figures, '\n'), 0o600),
		drawLateness(filepath.Join(o.out, "lateness.png"), r.Lateness),
		drawMemory(filepath.Join(o.out, "memory.png"), r.Memory),
	)
}

// newReport describes the machine.
func newReport(command []string) report {
	machine := fmt.Sprintf("%d cores, %s/%s%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, processor())
	return report{Machine: machine, Go: runtime.Version(), Started: time.Now(), Command: strings.Join(command, " ")}
}

// processor is its name, behind a comma; empty if the system does not tell.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return ", " + strings.TrimSpace(model)
		}
	}
	return ""
}
