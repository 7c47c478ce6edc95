package plot

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// panel draws one pair of axes and moves down.
func (d *drawing) panel(p *Panel, last bool) {
	bottom := d.y + panelHeight
	lines, base := p.Lines, [][]float64(nil)
	if p.Stacked {
		lines, base = stack(p.Lines)
	}
	high := p.High
	if high <= 0 {
		high = highest(lines)
	}
	scale := ticks(high, 5)
	high = scale[len(scale)-1]
	y := func(v float64) float64 { return bottom - panelHeight*min(max(v/high, 0), 1) }

	for _, v := range scale {
		d.put(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, width-right, y(v), y(v))
		d.text(left-8, y(v)+4, "soft", "end", number(v))
	}

	// From the last to the first, so that the first is on top.
	for i := len(lines) - 1; i >= 0; i-- {
		l := lines[i]
		if p.Stacked {
			d.put(`<path class="area" fill="%s" stroke="%s" d="%s"/>`, color(l.Color), color(l.Color), d.outline(l, base[i], y))
		} else {
			d.put(`<path class="line" stroke="%s" d="%s"/>`, color(l.Color), d.outline(l, nil, y))
		}
	}
	d.put(`<line class="axis" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, width-right, bottom, bottom)
	d.times(bottom, last)
	d.y = bottom + panelSpace
}

// head writes the panel's title and legend.
func (d *drawing) head(p *Panel, top float64) {
	title := p.Title + ", " + p.Unit
	d.put(`<rect class="tag" x="%d" y="%.1f" width="%.1f" height="17"/>`, left-42, top-23, 7.6*float64(len([]rune(title)))+4)
	d.text(left-40, top-10, "head", "start", title)
	d.legend(p.Lines, top-10)
}

// times draws the time axis, and labels the last one.
func (d *drawing) times(y float64, last bool) {
	for _, v := range ticks(d.f.Length, 14) {
		if v > d.f.Length*1.0001 {
			break
		}
		x := d.x(v)
		d.put(`<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x, x, y, y+4)
		if !last {
			continue
		}
		label := number(v)
		if v == 0 {
			label = "0 s"
		}
		d.text(x, y+17, "soft", "middle", label)
	}
}

// legend names the lines, at the right end.
func (d *drawing) legend(lines []Line, y float64) {
	x := float64(width - right)
	for i := len(lines) - 1; i >= 0; i-- {
		w := charWidth*float64(len([]rune(lines[i].Name))) + 4
		d.put(`<rect class="tag" x="%.1f" y="%.1f" width="%.1f" height="17"/>`, x-w-20, y-13, w+22)
		d.text(x-w, y, "", "start", lines[i].Name)
		d.put(`<rect x="%.1f" y="%.1f" width="12" height="10" rx="2" fill="%s"/>`, x-w-17, y-9, color(lines[i].Color))
		x -= w + 32
	}
}

// outline returns the path of a line, or of the area above base. A value holds
// for its whole step.
func (d *drawing) outline(l Line, base []float64, y func(float64) float64) string {
	var b strings.Builder
	pen := "M"
	point := func(t, v float64) {
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, d.x(t), y(v))
		pen = "L"
	}
	for i, v := range l.Values {
		if math.IsNaN(v) {
			pen = "M"
			continue
		}
		point((float64(i)+0.5)*l.Step, v)
	}
	if base != nil && len(l.Values) > 0 {
		for i := len(base) - 1; i >= 0; i-- {
			point((float64(i)+0.5)*l.Step, base[i])
		}
		b.WriteString("Z")
	}
	return b.String()
}

// stack returns the lines on top of each other, each with what it stands on. The
// steps must be the same; NaN is 0.
func stack(lines []Line) (stacked []Line, base [][]float64) {
	var below []float64
	for _, l := range lines {
		top := make([]float64, len(l.Values))
		under := make([]float64, len(l.Values))
		for i, v := range l.Values {
			if i < len(below) {
				under[i] = below[i]
			}
			if math.IsNaN(v) {
				v = 0
			}
			top[i] = under[i] + v
		}
		l.Values, below = top, top
		stacked, base = append(stacked, l), append(base, under)
	}
	return stacked, base
}

func highest(lines []Line) (high float64) {
	for _, l := range lines {
		for _, v := range l.Values {
			if v > high && !math.IsInf(v, 0) {
				high = v
			}
		}
	}
	return high
}

// number writes a tick's value.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)
}
