package score

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Target is a bound on what serval, or another system, does in a case, relative to a reference: a
// peer's result, serval's in another case, or 1.
type Target struct {
	Row       string
	System    string // whose result it is about; empty: serval
	Peer      string // the reference system; empty with no reference case: an absolute bound
	OfCase    string // the reference case; empty: the same
	Must, Aim float64
	LowerWins bool
}

// Targets prints how serval stands to the targets of what was measured.
func Targets(w io.Writer, results []Result, targets []Target) {
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
		case target.OfCase != "":
			reference = target.OfCase
		case target.Peer != "":
			reference = target.Peer
		}
		if target.LowerWins {
			sign = "<="
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s %v\t%s %v\t%s\n", target.Row, reference, Number(v), sign, target.Must, sign, target.Aim, target.verdict(v))
	}
	t.Flush()
}

// value returns what was reached, and false where something was not measured.
func (t Target) value(results []Result) (float64, bool) {
	system := t.System
	if system == "" {
		system = "serval"
	}
	own, ok := find(results, t.Row, system)
	if !ok || t.Peer == "" {
		return own, ok
	}
	of := t.OfCase
	if of == "" {
		of = t.Row
	}
	reference, ok := find(results, of, t.Peer)
	return own / reference, ok
}

// verdict compares a value with the target.
func (t Target) verdict(v float64) string {
	reached := func(bound float64) bool {
		if t.LowerWins {
			return v <= bound
		}
		return v >= bound
	}
	switch {
	case t.Aim != t.Must && reached(t.Aim):
		return "aim"
	case reached(t.Must):
		return "ok"
	}
	return "MISSED"
}
