package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/serval-net/serval/servald/internal/units"
)

// row is a step of the demonstration that happened.
type row struct {
	step, instance string
	address        string // of the replica
	bytes          int64
	elapsed        time.Duration
	dial           time.Duration // until the first byte from another instance, after a kill
	sum            bool          // the SHA-256 of the whole was checked, and fits
}

// table prints the steps.
func table(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STEP\tSERVED BY\tAT\tBYTES\tRATE\tNEXT DIAL\tSHA-256")
	for _, r := range rows {
		dial, sum := "", ""
		if r.dial > 0 {
			dial = units.Duration(r.dial)
		}
		if r.sum {
			sum = "same"
		}
		rate := units.Rate(units.BitsPerSecond(r.bytes, r.elapsed))
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.step, r.instance, r.address, units.Bytes(r.bytes), rate, dial, sum)
	}
	t.Flush()
}
