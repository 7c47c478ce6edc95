package plot

import (
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file anew")

// example is a figure with everything in it.
func example() *Figure {
	rate := func(level, from, to float64) []float64 {
		v := make([]float64, 240)
		for i := range v {
			if t := float64(i) * 0.05; t < from || t >= to {
				v[i] = level * (1 + 0.03*math.Sin(float64(i)*1.7))
			}
		}
		return v
	}
	a, b := rate(95, 3, 6), rate(95, 9, 12)
	total := make([]float64, len(a))
	for i := range total {
		total[i] = (a[i] + b[i]) * 0.96
	}
	return &Figure{
		Title: "Interface failover <&>", Subtitle: "two paths of 100 Mbit/s, 20 ms", Length: 12,
		Panels: []Panel{
			{Title: "Received by the program", Unit: "Mbit/s", Lines: []Line{{Name: "download", Color: 2, Step: 0.05, Values: total}}},
			{Title: "On the wire", Unit: "Mbit/s", Stacked: true, Lines: []Line{
				{Name: "path a", Step: 0.05, Values: a}, {Name: "path b", Color: 1, Step: 0.05, Values: b}}},
		},
		Marks: []Mark{
			{At: 9, Label: "blackhole b", Note: "gap 120 ms"}, {At: 3, Label: "down a", Note: "gap 62 ms, back in 0.10 s"}, {At: 3.5, Label: "swap b", Note: "gap 3 ms"},
			{At: 6, Label: "up a"}, {At: 11.9, Label: "a long label at the very end"},
			{At: 3.04, Label: "client: flow 1 suspect", Minor: true}, {At: 3.05, Label: "client: flow 1 down", Minor: true}, {At: 6.2, Label: "client: flow 1 active", Minor: true},
		},
	}
}

func TestGolden(t *testing.T) {
	var got strings.Builder
	if err := example().Write(&got); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "example.svg")
	if *update {
		if err := os.WriteFile(name, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Error("the drawing is not the one in testdata; look at it and run go test -update")
	}
}

// texts parses a drawing and returns its texts.
func texts(t *testing.T, f *Figure) []string {
	t.Helper()
	var b strings.Builder
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Error("not a number in the drawing")
	}
	dec := xml.NewDecoder(strings.NewReader(b.String()))
	var all []string
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := token.(xml.CharData); ok && strings.TrimSpace(string(data)) != "" {
			all = append(all, string(data))
		}
	}
}

func TestTexts(t *testing.T) {
	all := texts(t, example())
	for _, want := range []string{"Interface failover <&>", "Received by the program, Mbit/s", "path a", "100", "0 s", "12", "gap 120 ms", "1  3.04 s  client: flow 1 suspect"} {
		if !slices.Contains(all, want) {
			t.Errorf("no text %q in %q", want, all)
		}
	}
}

func TestStrangeFigures(t *testing.T) {
	for _, f := range []*Figure{
		{},
		{Panels: []Panel{{Stacked: true}, {Lines: []Line{{}}}}},
		{Length: 1, Panels: []Panel{{Lines: []Line{{Step: 0.5, Values: []float64{math.NaN(), math.Inf(1), 3}}}}}},
		{Length: 1, Panels: []Panel{{Stacked: true, Lines: []Line{{Step: 1, Values: []float64{1}}, {Step: 1, Values: []float64{math.NaN(), 3}}}}}},
		{Length: 1, Marks: []Mark{{At: 5, Label: "late"}, {At: -1, Minor: true}}},
	} {
		texts(t, f)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		high float64
		want []float64
	}{{100, []float64{0, 20, 40, 60, 80, 100}}, {187, []float64{0, 50, 100, 150, 200}}, {0, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}}} {
		got := ticks(c.high, 5)
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("to %v: %v", c.high, got)
		}
	}
}

func TestLabelsDoNotMeet(t *testing.T) {
	f := &Figure{Length: 10}
	for i := range 20 {
		f.Marks = append(f.Marks, Mark{At: float64(i) / 4, Label: "down a", Note: "gap 100 ms"})
	}
	d := &drawing{f: f}
	r := d.labelRows(f.Marks)
	for i := range f.Marks {
		for j := range i {
			if r.row[i] == r.row[j] && d.x(f.Marks[i].At) < d.x(f.Marks[j].At)+r.widths[j] {
				t.Errorf("labels %d and %d overlap in row %d", j, i, r.row[i])
			}
		}
	}
}
