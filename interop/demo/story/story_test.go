//go:build linux

package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/interop/plot"
	"github.com/serval-net/serval/interop/scenario"
)

func TestStoryIsRight(t *testing.T) {
	s, err := scenario.Parse(story)
	if err != nil {
		t.Fatal(err)
	}
	if s.End > 30*time.Second {
		t.Errorf("it takes %v", s.End)
	}
}

func TestMerge(t *testing.T) {
	got := merge([]scenario.Mark{{At: 1000, What: "x"}, {At: 2000}, {At: 2001}, {At: 2099}, {At: 2200, What: "y"}})
	if len(got) != 3 || got[0].What != "x" || got[1].What != "both ends move at once" || got[2].What != "y" {
		t.Errorf("%+v", got)
	}
}

// TestTable is about two downloads of which the path changes after a second.
func TestTable(t *testing.T) {
	start := time.Unix(1000, 0)
	tl := &scenario.Timeline{Start: start, Length: 2000, Bin: 20}
	tl.Report(start.Add(time.Second), scenario.Lab, "cable a pulled")
	tl.Effects = []scenario.Effect{{Series: "curl", At: 1000, Gap: 42.4}}
	a, b := netip.MustParseAddrPort("10.1.1.2:1"), netip.MustParseAddrPort("10.2.1.2:1")
	var samples []sample
	for i := range 20 {
		one := []nodectl.Flow{{Index: 0, Local: a, Remote: a}, {Index: 1, Local: b, Remote: b}}
		one[0].BytesReceived = uint64(min(i, 10)) * 1000
		one[1].BytesReceived = uint64(max(i-10, 0)) * 1000
		samples = append(samples, sample{start.Add(time.Duration(i) * 100 * time.Millisecond), []nodectl.Conn{{ID: "abcd", Flows: one}}})
	}
	text := table(tl, []*download{{name: "curl"}}, samples)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 2 {
		t.Fatal(text)
	}
	want := []string{"1.0", "s", "cable", "a", "pulled", "42", "ms", "10.1.1.2", "–", "10.1.1.2", "10.2.1.2", "–", "10.2.1.2"}
	if got := strings.Fields(lines[1]); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s", text)
	}
}

func TestCarried(t *testing.T) {
	tl := &scenario.Timeline{Start: time.Unix(0, 0), Length: 100, Bin: 20}
	c := carried{tl, make([]float64, 5)}
	c.add(tl.Start.Add(-10*time.Millisecond), tl.Start.Add(30*time.Millisecond), 400)
	for i, want := range []float64{200, 100, 0, 0, 0} {
		if d := c.bins[i] - want; d < -1e-6 || d > 1e-6 {
			t.Errorf("bins %v", c.bins)
		}
	}
}

func TestCoarsen(t *testing.T) {
	p := plot.Panel{Lines: []plot.Line{{Step: 1, Values: []float64{1, 3, 5, 7, 9}}}}
	coarsen(&p, 2)
	if l := p.Lines[0]; l.Step != 2 || len(l.Values) != 2 || l.Values[0] != 2 || l.Values[1] != 6 {
		t.Errorf("%+v", l)
	}
}
