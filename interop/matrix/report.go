//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/internal/machine"
)

// outcome is what one cell did, over all runs.
type outcome struct {
	Cell   string    `json:"cell"`
	Mover  string    `json:"mover"`
	Family string    `json:"family"`
	Event  string    `json:"event"`
	Kind   string    `json:"kind"`
	Gaps   []float64 `json:"gaps_ms,omitempty"` // of the runs that were byte-exact
	Runs   int       `json:"runs"`
	Errors []string  `json:"errors,omitempty"`
	Absurd string    `json:"makes_no_sense,omitempty"`
}

const preface = `# Matrix of moves

Written by ` + "`make matrix`" + `: do not edit. Each end of a connection has two access networks
of 20 Mbit/s, 20 ms RTT in all, and a core between them lets all reach all. One end,
or both at the same moment, then

- **link down**: lose the interface in use (admin down);
- **blackhole**: lose the network behind it, silently, while the carrier stays on;
- **address swap**: get new addresses on both interfaces, in new networks;
- **NAT rebind**: are given new ports on both by a NAT that forgot the old ones;
- **flap**: have an interface that is off and on for 300 ms each, all the time.

Meanwhile the connection carries a stream up, a stream down, or requests of 256 bytes
with answers of 4 KiB. A run passes when the SHA-256 of what each application sent is
that of what the other received, byte by byte, and neither saw an error. The gap is the
longest time in which nothing reached the receiving application; for requests that
includes a round trip.

`

// markdown returns the page: a line per mover and event, over all kinds of
// traffic.
func markdown(all []outcome, now time.Time) string {
	var b strings.Builder
	b.WriteString(preface)
	b.WriteString("| Event | Who moves |")
	for _, f := range families {
		fmt.Fprintf(&b, " %s |", f.name)
	}
	b.WriteString(" passed |\n|---|---|" + strings.Repeat("---|", len(families)) + "---|\n")
	for _, e := range events {
		for _, m := range movers {
			row := slices.DeleteFunc(slices.Clone(all), func(o outcome) bool { return o.Event != e.name || o.Mover != m })
			if len(row) == 0 {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s |", e.name, m)
			if why := row[0].Absurd; why != "" {
				b.WriteString(strings.Repeat(" - |", len(families)) + " makes no sense: " + why + " |\n")
				continue
			}
			for _, f := range families {
				b.WriteString(" " + gaps(row, f.name) + " |")
			}
			runs, passed := 0, 0
			for _, o := range row {
				runs += o.Runs
				passed += len(o.Gaps)
			}
			fmt.Fprintf(&b, " %d of %d |\n", passed, runs)
		}
	}
	fmt.Fprintf(&b, "\nGaps in ms, median / worst. %s, %s.\n", now.UTC().Format("2 January 2006"), machine.Describe())
	var failed []string
	for _, o := range all {
		for _, e := range o.Errors {
			failed = append(failed, fmt.Sprintf("- %s: %s\n", o.Cell, e))
		}
	}
	if len(failed) > 0 {
		b.WriteString("\n## Failed\n\n" + strings.Join(failed, ""))
	}
	return b.String()
}

// gaps summarises the cells of one family.
func gaps(row []outcome, family string) string {
	var v []float64
	for _, o := range row {
		if o.Family == family {
			v = append(v, o.Gaps...)
		}
	}
	if len(v) == 0 {
		return "failed"
	}
	slices.Sort(v)
	return fmt.Sprintf("%.0f / %.0f", v[len(v)/2], v[len(v)-1])
}
