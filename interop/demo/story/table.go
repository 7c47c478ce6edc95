//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/interop/scenario"
)

// table lists what happened: when, the longest silence of each download after it,
// and the paths in use before and then.
func table(t *scenario.Timeline, downloads []*download, samples []sample) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "TIME\tEVENT")
	for _, d := range downloads {
		fmt.Fprintf(w, "\tGAP, %s", d.name)
	}
	fmt.Fprintln(w, "\tPATHS BEFORE\tPATHS AFTER")
	for i, e := range t.Events {
		until := t.Length
		if i+1 < len(t.Events) {
			until = t.Events[i+1].At
		}
		before, after := paths(at(t, samples, e.At)), paths(at(t, samples, until))
		for n := range max(1, len(before), len(after)) {
			if n == 0 {
				fmt.Fprintf(w, "%.1f s\t%s", e.At/1000, e.What)
				for _, d := range downloads {
					fmt.Fprintf(w, "\t%s", gap(t, d.name, e.At))
				}
			} else {
				fmt.Fprint(w, "\t"+strings.Repeat("\t", len(downloads)))
			}
			fmt.Fprintf(w, "\t%s\t%s\n", nth(before, n), nth(after, n))
		}
	}
	w.Flush()
	return b.String()
}

// gap is the longest silence of a download after an event.
func gap(t *scenario.Timeline, name string, at float64) string {
	for _, e := range t.Effects {
		if e.Series == name && e.At == at {
			return fmt.Sprintf("%.0f ms", e.Gap)
		}
	}
	return "?"
}

func nth(list []string, n int) string {
	if n < len(list) {
		return list[n]
	}
	return ""
}

// at returns the last sample before a time of t.
func at(t *scenario.Timeline, samples []sample, ms float64) (s sample) {
	for _, one := range samples {
		if one.at.Sub(t.Start) >= time.Duration(ms*float64(time.Millisecond)) {
			break
		}
		if len(one.conns) > 0 {
			s = one
		}
	}
	return s
}

// paths lists the pairs of addresses that the connections may use.
func paths(s sample) (list []string) {
	for _, c := range s.conns {
		for _, f := range c.Flows {
			if f.State == "active" && f.Cost != nodectl.NeverCost {
				list = append(list, fmt.Sprintf("%v – %v", f.Local.Addr(), f.Remote.Addr()))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// sums tells what was downloaded.
func sums(downloads []*download) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DOWNLOAD\tRECEIVED\tSHA-256 OF WHAT WAS SENT AND RECEIVED")
	for _, d := range downloads {
		verdict := "same: " + d.got
		if d.sent == "" || d.got != d.sent {
			verdict = "NOT the same"
		}
		fmt.Fprintf(w, "%s\t%.1f MB\t%s\n", d.name, float64(d.bytes.Load())/1e6, verdict)
	}
	w.Flush()
	return b.String()
}

func subtitle(downloads []*download) string {
	var parts []string
	for _, d := range downloads {
		verdict := "SHA-256 same at both ends"
		if d.sent == "" || d.got != d.sent {
			verdict = "NOT what was sent"
		}
		parts = append(parts, fmt.Sprintf("%s: %.0f MB, %s", d.name, float64(d.bytes.Load())/1e6, verdict))
	}
	return strings.Join(parts, "; ")
}
