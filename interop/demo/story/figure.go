//go:build linux

package main

import (
	"path/filepath"
	"strings"

	"github.com/serval-net/serval/interop/plot"
	"github.com/serval-net/serval/interop/scenario"
)

// leave writes the timeline and the plot.
func leave(t *scenario.Timeline, capacity float64, downloads []*download, out string) error {
	if err := t.WriteFile(strings.TrimSuffix(out, filepath.Ext(out)) + ".json"); err != nil {
		return err
	}
	figure := t.Figure()
	figure.Subtitle = subtitle(downloads)
	for i := range figure.Panels {
		p := &figure.Panels[i]
		p.High = capacity
		if !p.Stacked {
			// What arrived over one path waits for the other, so that the programs
			// receive in bursts; who looks wants to see how they share.
			p.Title, p.Stacked = "Received by the programs", true
			coarsen(p, 4)
		}
	}
	if err := figure.WriteFile(out); err != nil {
		return err
	}
	say("The plot of it is %s", out)
	return nil
}

// coarsen makes one value of several.
func coarsen(p *plot.Panel, every int) {
	for i := range p.Lines {
		l := &p.Lines[i]
		l.Step *= float64(every)
		var means []float64
		for n := 0; n+every <= len(l.Values); n += every {
			sum := 0.0
			for _, v := range l.Values[n : n+every] {
				sum += v
			}
			means = append(means, sum/float64(every))
		}
		l.Values = means
	}
}
