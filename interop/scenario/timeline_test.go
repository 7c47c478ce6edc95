package scenario

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// at is a time n milliseconds after an arbitrary one.
func at(n float64) time.Time {
	return time.Unix(1e9, 0).Add(time.Duration(n * float64(time.Millisecond)))
}

// timeline has one stream at 100 kB/s of packets each ms, but for the silences.
func timeline(length float64, silences ...Silence) *Timeline {
	t := &Timeline{Start: at(0), Length: length, Bin: 20}
	r := NewRecorder(at(-10)) // it began before the scenario
	for ms := -10.0; ms < length; ms++ {
		quiet := false
		for _, q := range silences {
			quiet = quiet || ms > q.From && ms < q.To
		}
		if !quiet {
			r.Add(at(ms), 100)
		}
	}
	t.AddRecord("stream", r.Finish(at(length)))
	return t
}

func TestRecordIsPlaced(t *testing.T) {
	tl := timeline(1000, Silence{300, 350})
	s := tl.Series[0]
	if len(s.Bytes) != 50 || s.Bytes[0] != 2000 || s.Bytes[16] != 0 || s.Bytes[49] != 2000 {
		t.Errorf("bins %v", s.Bytes)
	}
	if want := []Silence{{300, 350}}; !reflect.DeepEqual(s.Silences, want) {
		t.Errorf("silences %v, want %v", s.Silences, want)
	}
}

func TestEffects(t *testing.T) {
	tl := timeline(6000, Silence{998, 1150}, Silence{2900, 4250})
	tl.add(Mark{At: 3000, Who: Lab, What: "cut a"})
	tl.add(Mark{At: 1000, Who: Lab, What: "down a"})
	tl.add(Mark{At: 1010, Who: Lab, What: "down server.a"})
	tl.add(Mark{At: 4000, Who: Lab, What: "mend a"})
	tl.Report(at(1020), "client", "flow 1 down")
	tl.Measure()
	const mbit = 0.8
	want := []Effect{
		{"stream", 1000, "down a, down server.a", 152, 140, mbit, mbit},
		{"stream", 3000, "cut a", 1100, -1, mbit, 0},
		{"stream", 4000, "mend a", 250, 240, 0, mbit},
	}
	for i, e := range tl.Effects {
		e.Before, e.After = math.Round(e.Before*1e6)/1e6, math.Round(e.After*1e6)/1e6
		if i >= len(want) || e != want[i] {
			t.Errorf("effect %d: %+v", i, e)
		}
	}
	if len(tl.Effects) != len(want) {
		t.Errorf("%d effects, want %d", len(tl.Effects), len(want))
	}
}

func TestEffectsFromBins(t *testing.T) {
	tl := timeline(2000, Silence{999, 1201})
	tl.Series[0].Silences = nil
	tl.add(Mark{At: 1000, Who: Lab, What: "down a"})
	tl.Measure()
	if e := tl.Effects[0]; e.Gap != 200 || e.Back != 200 {
		t.Errorf("effect %+v", e)
	}
}

func TestBackWaitsForTheRate(t *testing.T) {
	tl := timeline(4000)
	for i := range tl.Series[0].Bytes {
		if i >= 50 && i < 100 { // half the rate from 1 s to 2 s
			tl.Series[0].Bytes[i] /= 2
		}
	}
	tl.add(Mark{At: 1000, Who: Lab, What: "down a"})
	tl.Measure()
	if e := tl.Effects[0]; e.Gap > 10 || math.Abs(e.Back-1000) > 60 {
		t.Errorf("effect %+v", e)
	}
}

func TestFigureAndTable(t *testing.T) {
	tl := timeline(3000, Silence{999, 1101})
	tl.Title = "A title"
	tl.Series = append(tl.Series, Series{Name: "path a", Kind: Path, Bytes: make([]uint64, 150)})
	tl.add(Mark{At: 1000, Who: Lab, What: "interface a down"})
	tl.Report(at(1020), "client", "flow 1 down")
	tl.Measure()
	f := tl.Figure()
	if len(f.Panels) != 2 || !f.Panels[1].Stacked || f.Length != 3 || len(f.Marks) != 2 {
		t.Fatalf("figure %+v", f)
	}
	if v := f.Panels[0].Lines[0].Values[0]; math.Abs(v-0.8) > 1e-9 {
		t.Errorf("the stream begins at %v Mbit/s", v)
	}
	if m := f.Marks[0]; m.At != 1 || m.Note != "gap 102 ms, settled in 0.10 s" {
		t.Errorf("mark %+v", m)
	}
	if table := tl.Table(); !strings.Contains(table, "interface a down") || !strings.Contains(table, "102.0") {
		t.Errorf("table:\n%s", table)
	}
}

func TestEveryActionHasWords(t *testing.T) {
	s, err := Parse(everything)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Events {
		if w := e.Words(); w == "" || w == e.String() {
			t.Errorf("%s: %q", e.Action, w)
		}
	}
}

func TestSpread(t *testing.T) {
	bytes := make([]uint64, 4)
	spread(bytes, 0.5, 2, 300)
	spread(bytes, 2, 3.5, 300)
	if want := []uint64{100, 200, 200, 100}; !reflect.DeepEqual(bytes, want) {
		t.Errorf("%v, want %v", bytes, want)
	}
	spread(bytes, 3.5, 5, 300)
	if bytes[3] != 200 {
		t.Errorf("the last bin has %d", bytes[3])
	}
}

func TestWriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out", "t.json")
	tl := timeline(100)
	if err := tl.WriteFile(name); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var got Timeline
	if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got.Series, tl.Series) {
		t.Errorf("%v: %s", err, b)
	}
}
