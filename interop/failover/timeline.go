//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/serval-net/serval/interop/failover/rig"
	"github.com/serval-net/serval/interop/plot"
)

// timeline is what happened in one run, for people and plots. Times are in ms
// since the connection was open.
type timeline struct {
	Case, System, Kind string
	Marks              []timelineMark
	BucketMs           int
	Mbit               []float64 // arrivals, in Mbit/s, per bucket
	Gaps               [][2]float64
	Client, Server     string // what the ends say of the connection
	ClientError        string `json:",omitempty"`
	ServerError        string `json:",omitempty"`
}

type timelineMark struct {
	At   float64
	What string
}

const (
	bucket   = 10 * time.Millisecond
	longGap  = 30 * time.Millisecond // those that a timeline lists
	dirPerms = 0o755
)

// write saves the scene's timeline, as JSON and drawn, if that was asked for.
func (s *scene) write(o rig.Outcome) error {
	if s.bench.timelines == "" {
		return nil
	}
	t := timeline{
		Case: s.name, System: s.system, Kind: string(s.Kind), BucketMs: int(bucket.Milliseconds()),
		Client: o.Client.Detail, Server: o.Server.Detail, ClientError: o.Client.Error, ServerError: o.Server.Error,
	}
	for _, m := range s.marks {
		t.Marks = append(t.Marks, timelineMark{ms(m.At - s.From), m.What})
	}
	last := s.From
	for _, x := range o.Arrived(s.Kind) {
		i := int(max(0, x.At-s.From) / bucket)
		for len(t.Mbit) <= i {
			t.Mbit = append(t.Mbit, 0)
		}
		t.Mbit[i] += float64(x.Bytes) * 8 / 1e6 / bucket.Seconds()
		if x.At-last > longGap {
			t.Gaps = append(t.Gaps, [2]float64{ms(last - s.From), ms(x.At - last)})
		}
		last = x.At
	}
	for _, m := range s.marks {
		for len(t.Mbit) <= int((m.At-s.From)/bucket) {
			t.Mbit = append(t.Mbit, 0)
		}
	}
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	name := s.bench.fresh(fmt.Sprintf("%s-%s-%s", s.name, s.system, s.Kind))
	if err := os.MkdirAll(s.bench.timelines, dirPerms); err != nil {
		return err
	}
	name = filepath.Join(s.bench.timelines, name)
	if err := os.WriteFile(name+".json", b, 0o644); err != nil {
		return err
	}
	return t.figure().WriteFile(name + ".svg")
}

// figure draws the timeline.
func (t *timeline) figure() *plot.Figure {
	seconds := float64(len(t.Mbit)) * bucket.Seconds()
	f := &plot.Figure{
		Title:    t.Case + ": " + t.System,
		Subtitle: "arrivals of a stream " + t.Kind,
		Length:   seconds,
		Panels: []plot.Panel{{Title: "received by the application", Unit: "Mbit/s", Lines: []plot.Line{
			{Name: t.System, Step: bucket.Seconds(), Values: t.Mbit},
		}}},
	}
	for _, m := range t.Marks {
		f.Marks = append(f.Marks, plot.Mark{At: min(m.At/1000, seconds), Label: m.What})
	}
	return f
}

// fresh numbers the timelines of one name.
func (b *bench) fresh(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written == nil {
		b.written = map[string]int{}
	}
	b.written[name]++
	return fmt.Sprintf("%s-%d", name, b.written[name])
}
