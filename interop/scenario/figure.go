package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/serval-net/serval/interop/plot"
)

// The colours of paths and of streams, which differ.
var (
	pathColors   = []int{0, 1, 5}
	streamColors = []int{2, 4, 3}
)

// Figure draws the timeline: what the programs received, what the paths carried,
// and what happened, with the longest silence after it.
func (t *Timeline) Figure() *plot.Figure {
	const second = 1000
	f := &plot.Figure{Title: t.Title, Length: t.Length / second}
	streams := plot.Panel{Title: "Received by the program", Unit: "Mbit/s"}
	paths := plot.Panel{Title: "Carried by the paths", Unit: "Mbit/s", Stacked: true}
	// A point should be more than a pixel wide.
	every := max(1, int(t.Length/t.Bin/600+0.5))
	for _, s := range t.Series {
		line := plot.Line{Name: s.Name, Step: t.Bin * float64(every) / second}
		for i := 0; i+every <= len(s.Bytes); i += every {
			line.Values = append(line.Values, sum(s.Bytes[i:i+every])*8/1e3/(t.Bin*float64(every)))
		}
		panel, colors := &paths, pathColors
		if s.Kind == Stream {
			panel, colors = &streams, streamColors
		}
		line.Color = colors[len(panel.Lines)%len(colors)]
		panel.Lines = append(panel.Lines, line)
	}
	streams.High, paths.High = most(streams), most(paths)
	if paths.High > 0 {
		streams.High = min(streams.High, paths.High) // more is an echo of a hole
	}
	for _, p := range []plot.Panel{streams, paths} {
		if len(p.Lines) > 0 {
			f.Panels = append(f.Panels, p)
		}
	}
	f.Marks = t.marks()
	return f
}

// most is what the values of a panel hardly ever exceed: when a hole in a stream is
// filled, all that waited behind it comes at one moment.
func most(p plot.Panel) float64 {
	var all []float64
	for n, l := range p.Lines {
		for i, v := range l.Values {
			if p.Stacked && n > 0 && i < len(all) {
				all[i] += v
			} else {
				all = append(all, v)
			}
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)*99/100] * 1.05
}

func (t *Timeline) marks() (marks []plot.Mark) {
	for _, e := range t.groups()[1:] {
		marks = append(marks, plot.Mark{At: e.at / 1000, Label: e.what, Note: t.note(e.at)})
	}
	for _, e := range t.Events {
		if e.Who != Lab {
			marks = append(marks, plot.Mark{At: e.At / 1000, Label: e.Who + ": " + e.What, Minor: true})
		}
	}
	return marks
}

// note sums up the effects of what happened at a time, by the worst of the streams.
func (t *Timeline) note(at float64) string {
	gap, back, some, never := 0.0, 0.0, false, false
	for _, e := range t.Effects {
		if e.At == at {
			gap, back, some, never = max(gap, e.Gap), max(back, e.Back), true, never || e.Back < 0
		}
	}
	switch {
	case !some:
		return ""
	case never && gap > 1000:
		return fmt.Sprintf("silent for %.1f s", gap/1000)
	case never:
		return fmt.Sprintf("gap %.0f ms", gap)
	}
	return fmt.Sprintf("gap %.0f ms, settled in %.2f s", gap, back/1000)
}

// Table returns the effects as lines of text under a heading.
func (t *Timeline) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-7s %-36s %-12s %8s %10s %18s\n", "at s", "what", "stream", "gap ms", "settled s", "Mbit/s")
	for _, e := range t.Effects {
		back := fmt.Sprintf("%.2f", e.Back/1000)
		if e.Back < 0 {
			back = "-"
		}
		fmt.Fprintf(&b, "%-7.2f %-36s %-12s %8.1f %10s %8.1f -> %6.1f\n", e.At/1000, e.Short(36), e.Series, e.Gap, back, e.Before, e.After)
	}
	return b.String()
}
