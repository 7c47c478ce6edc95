package scenario

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Timeline is what happened in one run. All times in it are milliseconds after
// Start.
type Timeline struct {
	Title    string    `json:"title"`
	Scenario string    `json:"scenario"` // its text
	Start    time.Time `json:"start"`
	Length   float64   `json:"length_ms"`
	Bin      float64   `json:"bin_ms"` // of the series
	Series   []Series  `json:"series"`
	Events   []Mark    `json:"events"`
	Effects  []Effect  `json:"effects,omitempty"`
}

// Series is the bytes that something received in each bin of time.
type Series struct {
	Name  string   `json:"name"`
	Kind  Kind     `json:"kind"`
	Bytes []uint64 `json:"bytes"`
	// Silences are known more finely than the bins tell, if the receiver said so.
	Silences []Silence `json:"silences,omitempty"`
}

// Kind says what a Series counts.
type Kind string

// The kinds.
const (
	Stream Kind = "stream" // what a program received
	Path   Kind = "path"   // what an interface received, frame headers and repeats included
)

// Silence is a time in which nothing was received.
type Silence struct {
	From float64 `json:"from_ms"`
	To   float64 `json:"to_ms"`
}

// Length returns how long it was, in milliseconds.
func (s Silence) Length() float64 { return s.To - s.From }

// Mark is something that happened.
type Mark struct {
	At   float64 `json:"at_ms"`
	Took float64 `json:"took_ms,omitempty"`
	Who  string  `json:"who"` // Lab, or a program
	What string  `json:"what"`
}

// Lab is Mark.Who of what the scenario did.
const Lab = "lab"

// add enters a mark, in order of time.
func (t *Timeline) add(m Mark) {
	i, _ := slices.BinarySearchFunc(t.Events, m.At, func(e Mark, at float64) int {
		if e.At <= at {
			return -1
		}
		return 1
	})
	t.Events = slices.Insert(t.Events, i, m)
}

// Report enters something that a program said of itself.
func (t *Timeline) Report(at time.Time, who, what string) {
	t.add(Mark{At: t.ms(at), Who: who, What: what})
}

// ms places a time on the timeline.
func (t *Timeline) ms(at time.Time) float64 { return milliseconds(at.Sub(t.Start)) }

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// AddRecord enters what a program received. What it received before the start or
// after the end is left out.
func (t *Timeline) AddRecord(name string, r Record) {
	s := Series{Name: name, Kind: Stream, Bytes: make([]uint64, t.bins())}
	shift := t.ms(time.Unix(0, r.Start))
	for i, n := range r.Bytes {
		// Bins of the record are as fine as the timeline's or finer, so that each
		// falls into the bin of its middle.
		at := shift + (float64(i)+0.5)*r.Bin
		if bin := int(at / t.Bin); at >= 0 && bin < len(s.Bytes) {
			s.Bytes[bin] += n
		}
	}
	for _, q := range r.Silences {
		q.From, q.To = max(q.From+shift, 0), min(q.To+shift, t.Length)
		if q.Length() > 0 {
			s.Silences = append(s.Silences, q)
		}
	}
	t.Series = append(t.Series, s)
}

func (t *Timeline) bins() int { return int(t.Length/t.Bin + 0.5) }

// WriteFile writes the timeline as JSON, making directories as needed.
func (t *Timeline) WriteFile(name string) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}
