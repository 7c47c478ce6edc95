//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/serval-net/serval/interop/scenario"
)

// table lists what happened: when, the longest silence of each download after it,
// and the paths that carried data before it and at the end.
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
		before, after := paths(t, samples, e.At), paths(t, samples, until)
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

// recently is over how long, in milliseconds, paths() looks for data.
const recently = 500

// paths lists the pairs of addresses over which data came shortly before a time.
func paths(t *scenario.Timeline, samples []sample, ms float64) (list []string) {
	type flow struct {
		conn  string
		index uint8
	}
	before := map[flow]uint64{}
	for _, c := range at(t, samples, ms-recently).conns {
		for _, f := range c.Flows {
			before[flow{c.ID, f.Index}] = f.BytesReceived
		}
	}
	came := map[string]uint64{}
	total := uint64(0)
	for _, c := range at(t, samples, ms).conns {
		for _, f := range c.Flows {
			n := f.BytesReceived - before[flow{c.ID, f.Index}]
			came[fmt.Sprintf("%v – %v", f.Local.Addr(), f.Remote.Addr())] += n
			total += n
		}
	}
	for path, n := range came {
		if n > total/50 { // less is but control and probes
			list = append(list, path)
		}
	}
	slices.Sort(list)
	if len(list) == 0 {
		return []string{"none"}
	}
	return list
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
