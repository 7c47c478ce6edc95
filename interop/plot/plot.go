// Package plot draws rates over time as SVG, with what happened marked: panels
// above each other on one time axis. It needs no other program or library. The
// colours are those of Okabe and Ito, which differ for colour-blind people too;
// viewers that prefer it dark get dark.
package plot

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Figure is a drawing.
type Figure struct {
	Title    string
	Subtitle string  // one line; may be empty
	Length   float64 // of the time axis, seconds
	Panels   []Panel
	Marks    []Mark
}

// Panel is one pair of axes.
type Panel struct {
	Title   string  // what is shown
	Unit    string  // of the values, such as "Mbit/s"
	Stacked bool    // areas on top of each other rather than lines
	High    float64 // where the axis ends at least, and values are cut off; 0 is the highest
	Lines   []Line
}

// Line is values at equal steps of time, from 0; NaN is no value.
type Line struct {
	Name   string
	Color  int     // number of a colour; lines of one name in two panels have one
	Step   float64 // seconds
	Values []float64
}

// Mark is something that happened at a time, drawn across all panels.
type Mark struct {
	At    float64 // seconds
	Label string
	Note  string // a second line; may be empty
	Minor bool   // drawn lightly, a number that is explained below
}

// Sizes, in pixels, of text at 12 to 20 pixels.
const (
	width       = 1080
	left        = 66
	right       = 26
	panelHeight = 190
	panelSpace  = 40
	rowHeight   = 33 // of a row of labels
	charWidth   = 6.6
)

const style = `
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","DejaVu Sans",sans-serif;font-size:12px}
.page{fill:#fff}.title{font-size:20px;font-weight:600}.sub{font-size:13px}.head{font-size:13px;font-weight:600}
text{fill:#24292f}.soft{fill:#57606a}.grid{stroke:#d8dee4;stroke-width:1}.axis{stroke:#57606a;stroke-width:1}
.mark{stroke:#24292f;stroke-width:1.2;stroke-dasharray:4 3}.minor{stroke:#8c959f;stroke-width:1;stroke-dasharray:1 3}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.area{fill-opacity:.62;stroke-width:1.2;stroke-linejoin:round}
.label{font-weight:600}.tag{fill:#fff;fill-opacity:.9}
@media (prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.soft{fill:#9198a1}.grid{stroke:#2a313a}
.axis{stroke:#9198a1}.mark{stroke:#e6edf3}.minor{stroke:#6e7681}.tag{fill:#0d1117}}
`

// palette is that of Okabe and Ito, without yellow and black.
var palette = []string{"#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"}

func color(n int) string { return palette[n%len(palette)] }

// Write draws the figure.
func (f *Figure) Write(w io.Writer) error {
	d := &drawing{f: f}
	d.draw()
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" width="%d" height="%.0f" role="img" aria-label="%s">
<style>%s</style>
<rect class="page" width="100%%" height="100%%"/>
%s</svg>
`, width, d.y, width, d.y, escape(f.Title), style, d.out.String())
	return err
}

// WriteFile draws the figure to a file.
func (f *Figure) WriteFile(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Write(file), file.Close())
}

// ticks returns round values from 0 to at least high, about n of them.
func ticks(high float64, n int) []float64 {
	if !(high > 0) || math.IsInf(high, 0) {
		high = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(high/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if high/(step*m) <= float64(n) {
			step *= m
			break
		}
	}
	var all []float64
	for i := 0; ; i++ {
		all = append(all, float64(i)*step)
		if all[i] >= high*0.999 {
			return all
		}
	}
}
