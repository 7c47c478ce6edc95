// Package score is what the benchmarks do with what they measured: the results
// of several runs in one line each, a table of all systems side by side, and the
// project's targets.
package score

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// Result is what one system did in one case, over all runs.
type Result struct {
	Case   string  `json:"case"`
	System string  `json:"system"`
	Unit   string  `json:"unit"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
}

// Summarise makes a Result of the values of all runs, of which there must be
// one. It sorts them.
func Summarise(name, system, unit string, v []float64) Result {
	slices.Sort(v)
	median := v[len(v)/2]
	if len(v)%2 == 0 {
		median = (median + v[len(v)/2-1]) / 2
	}
	return Result{Case: name, System: system, Unit: unit, Median: median, Min: v[0], Max: v[len(v)-1], Runs: len(v)}
}

// Values are what the runs of cases yielded, by case and system.
type Values map[[2]string][]float64

// Add enters what one run yielded.
func (v Values) Add(name, system string, value float64) {
	key := [2]string{name, system}
	v[key] = append(v[key], value)
}

// Results returns those of a case, of the systems of which there is any value.
func (v Values) Results(name, unit string, systems []string) (results []Result) {
	for _, system := range systems {
		if all := v[[2]string{name, system}]; len(all) > 0 {
			results = append(results, Summarise(name, system, unit, all))
		}
	}
	return results
}

// Write writes one result per line, as JSON, making directories as needed.
func Write[T any](name string, results []T) error {
	var b strings.Builder
	lines := json.NewEncoder(&b)
	for _, r := range results {
		if err := lines.Encode(r); err != nil {
			return err
		}
	}
	return write(name, b.String())
}

// WritePage writes a page for people to a file, making directories as needed, or to
// the standard output if it has no name.
func WritePage(name, text string) error {
	if name == "" {
		_, err := fmt.Print(text)
		return err
	}
	return write(name, text)
}

func write(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// Report writes the results to a file, and prints them with the targets.
func Report(name string, results []Result, systems []string, targets []Target) error {
	if err := Write(name, results); err != nil {
		return err
	}
	Table(os.Stdout, results, systems)
	Targets(os.Stdout, results, targets)
	return nil
}

// Table prints a line per case with all systems side by side: the median, and
// with several runs the range.
func Table(w io.Writer, results []Result, systems []string) {
	var cases []string
	for _, r := range results {
		if !slices.Contains(cases, r.Case) {
			cases = append(cases, r.Case)
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "case\tunit\t%s\n", strings.Join(systems, "\t"))
	for _, name := range cases {
		cells := make([]string, len(systems))
		unit := ""
		for i, system := range systems {
			cells[i] = "-"
			for _, r := range results {
				if r.Case == name && r.System == system {
					cells[i], unit = r.cell(), r.Unit
				}
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", name, unit, strings.Join(cells, "\t"))
	}
	t.Flush()
}

func (r Result) cell() string {
	if r.Runs == 1 {
		return Number(r.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", Number(r.Median), Number(r.Min), Number(r.Max))
}

// Number prints three digits or more, without an exponent.
func Number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// find returns the median of a system in a case.
func find(results []Result, name, system string) (float64, bool) {
	for _, r := range results {
		if r.Case == name && r.System == system {
			return r.Median, true
		}
	}
	return 0, false
}
