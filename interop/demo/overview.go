//go:build linux

package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/serval-net/serval/interop/scenario"
)

// outcome is a scenario that was run; timeline is nil if it did not begin.
type outcome struct {
	name     string
	timeline *scenario.Timeline
	err      error
}

// overview is a table of several: for each its worst event.
func overview(all []outcome) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DEMO\tRESULT\tEVENTS\tLONGEST GAP\tAFTER\tTITLE")
	for _, o := range all {
		result, title := "ok", ""
		if o.err != nil {
			result = "FAILED"
		}
		worst, events := scenario.Effect{}, map[float64]bool{}
		if o.timeline != nil {
			title, _, _ = strings.Cut(o.timeline.Title, ":")
			for _, e := range o.timeline.Effects {
				events[e.At] = true
				if e.Gap > worst.Gap {
					worst = e
				}
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.0f ms\t%s\t%s\n", o.name, result, len(events), worst.Gap, worst.Short(34), title)
	}
	w.Flush()
	return b.String()
}
