//go:build linux

package main

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

// writeJSON writes one result per line.
func writeJSON(name string, results []result) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	var b strings.Builder
	lines := json.NewEncoder(&b)
	for _, r := range results {
		if err := lines.Encode(r); err != nil {
			return err
		}
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}

// printTable prints a line per case with all systems side by side: the median,
// and with several runs the range.
func printTable(w io.Writer, results []result) {
	var cases []string
	for _, r := range results {
		if !slices.Contains(cases, r.Case) {
			cases = append(cases, r.Case)
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "case\tunit\t%s\n", strings.Join(all, "\t"))
	for _, name := range cases {
		cells := make([]string, len(all))
		unit := ""
		for i, system := range all {
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

func (r result) cell() string {
	if r.Runs == 1 {
		return number(r.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", number(r.Median), number(r.Min), number(r.Max))
}

// number prints three digits or more, without an exponent.
func number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// printTargets prints how serval stands to the project's targets.
func printTargets(w io.Writer, results []result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header := "\nserval's targets\trelative to\treached\tmust\taim\tverdict\n"
	for _, target := range targets {
		v, ok := target.value(results)
		if !ok {
			continue
		}
		fmt.Fprint(t, header)
		header = ""
		reference, sign := "", ">="
		switch {
		case target.ofCase != "":
			reference = target.ofCase
		case target.peer != "":
			reference = target.peer
		}
		if target.lowerWins {
			sign = "<="
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s %v\t%s %v\t%s\n", target.row, reference, number(v), sign, target.must, sign, target.aim, target.verdict(v))
	}
	t.Flush()
}
