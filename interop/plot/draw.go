package plot

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// drawing is a figure being drawn, from the top down.
type drawing struct {
	f   *Figure
	out strings.Builder
	y   float64 // where the next thing goes
}

func escape(s string) string { return html.EscapeString(s) }

// put writes an element.
func (d *drawing) put(format string, args ...any) { fmt.Fprintf(&d.out, format+"\n", args...) }

// text writes a text at a point; class and anchor as in SVG.
func (d *drawing) text(x, y float64, class, anchor, s string) {
	d.put(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, escape(s))
}

// x places a time.
func (d *drawing) x(seconds float64) float64 {
	length := d.f.Length
	if !(length > 0) {
		length = 1
	}
	return left + (width-left-right)*min(max(seconds/length, 0), 1)
}

func (d *drawing) draw() {
	d.text(left-40, 36, "title", "start", d.f.Title)
	d.y = 52
	if d.f.Subtitle != "" {
		d.text(left-40, 58, "sub soft", "start", d.f.Subtitle)
		d.y = 72
	}
	major, minor := d.split()
	rows := d.labelRows(major)
	labels := d.y
	d.y += float64(rows.count)*rowHeight + 22
	top := d.y
	for i := range d.f.Panels {
		d.panel(&d.f.Panels[i], i == len(d.f.Panels)-1)
	}
	d.lines(major, minor, rows, labels)
	d.labels(major, rows, labels)
	for i := range d.f.Panels {
		d.head(&d.f.Panels[i], top+float64(i)*(panelHeight+panelSpace))
	}
	d.y += 4
	d.explain(minor)
	d.y += 14
}

// split returns the marks that get a label and those that get a number.
func (d *drawing) split() (major, minor []Mark) {
	for _, m := range d.f.Marks {
		if m.Minor {
			minor = append(minor, m)
		} else {
			major = append(major, m)
		}
	}
	byTime := func(a, b Mark) int { return int(math.Copysign(1, a.At-b.At)) }
	slices.SortStableFunc(major, byTime)
	slices.SortStableFunc(minor, byTime)
	return major, minor
}

// rows says in which row each label stands, and on which side of its mark.
type rows struct {
	count  int
	row    []int
	flip   []bool // to the left of the mark
	widths []float64
}

// labelRows finds rows in which labels do not run into each other.
func (d *drawing) labelRows(marks []Mark) rows {
	r := rows{}
	var ends []float64 // of the last label, by row
	for _, m := range marks {
		w := charWidth*float64(max(len([]rune(m.Label)), len([]rune(m.Note)))) + 16
		from := d.x(m.At)
		flip := from+w > width
		if flip {
			from -= w
		}
		row := slices.IndexFunc(ends, func(end float64) bool { return end <= from })
		if row < 0 {
			row = len(ends)
			ends = append(ends, 0)
		}
		ends[row] = from + w
		r.row, r.flip, r.widths = append(r.row, row), append(r.flip, flip), append(r.widths, w)
	}
	r.count = len(ends)
	return r
}

// rowTop returns where a row of labels starts. The first labels stand highest, so
// that their lines pass the later ones on the left.
func rowTop(labels float64, row int) float64 { return labels + float64(row)*rowHeight }

// lines draws the marks' lines and the numbers of the minor ones.
func (d *drawing) lines(major, minor []Mark, r rows, labels float64) {
	for n := range d.f.Panels {
		top := d.y - float64(len(d.f.Panels)-n)*(panelHeight+panelSpace)
		bottom := top + panelHeight
		for _, m := range minor {
			d.put(`<line class="minor" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, d.x(m.At), d.x(m.At), top, bottom)
		}
		for i, m := range major {
			from := top
			if n == 0 {
				from = rowTop(labels, r.row[i]) + 3
			}
			d.put(`<line class="mark" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, d.x(m.At), d.x(m.At), from, bottom)
		}
	}
	y, last := d.y-panelSpace, -100.0
	for i, m := range minor {
		if x := d.x(m.At); x-last > 16 { // in a crowd the first one is enough
			d.put(`<rect class="tag" x="%.1f" y="%.1f" width="16" height="13"/>`, x-8, y-15)
			d.text(x, y-5, "soft", "middle", fmt.Sprint(i+1))
			last = x
		}
	}
}

// labels writes the marks' labels, on a ground that hides other marks' lines.
func (d *drawing) labels(marks []Mark, r rows, labels float64) {
	for i, m := range marks {
		y, x := rowTop(labels, r.row[i]), d.x(m.At)
		anchor, tx, ground := "start", x+5, x+2
		if r.flip[i] {
			anchor, tx, ground = "end", x-5, x-r.widths[i]+12
		}
		height := 17.0
		if m.Note != "" {
			height = 31
		}
		d.put(`<rect class="tag" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, ground, y+1, r.widths[i]-14, height)
		d.text(tx, y+13, "label", anchor, m.Label)
		if m.Note != "" {
			d.text(tx, y+27, "soft", anchor, m.Note)
		}
	}
}

// explain lists the numbered marks below the panels.
func (d *drawing) explain(marks []Mark) {
	const columns, most = 3, 30
	if len(marks) == 0 {
		return
	}
	shown := marks[:min(len(marks), most)]
	perColumn := (len(shown) + columns - 1) / columns
	for i, m := range shown {
		x := left + float64(i/perColumn)*(width-left-right)/columns
		y := d.y + float64(i%perColumn)*16
		d.text(x, y, "soft", "start", cut(fmt.Sprintf("%d  %.2f s  %s", i+1, m.At, m.Label), 56))
	}
	d.y += float64(perColumn) * 16
	if len(marks) > most {
		d.text(left, d.y, "soft", "start", fmt.Sprintf("and %d more", len(marks)-most))
		d.y += 16
	}
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
