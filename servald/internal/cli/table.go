package cli

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/serval-net/serval/internal/nodectl"
)

// table is text in columns two blanks apart. What other processes and nodes chose in it
// cannot steer the terminal.
type table struct {
	titles []string // one that begins with ">" is of a column aligned to the right
	rows   [][]string
}

func newTable(titles ...string) *table { return &table{titles: titles} }

// row adds a line; a single cell is a heading, which may be wider than its column.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = cmp.Or(nodectl.Clean(c), "-")
	}
	t.rows = append(t.rows, cells)
}

// String returns the lines, without a newline at the end.
func (t *table) String() string {
	width := make([]int, len(t.titles))
	titles := make([]string, len(t.titles))
	for i, title := range t.titles {
		titles[i] = strings.TrimPrefix(title, ">")
		width[i] = utf8.RuneCountInString(titles[i])
	}
	for _, r := range t.rows {
		for i, c := range r {
			if len(r) > 1 {
				width[i] = max(width[i], utf8.RuneCountInString(c))
			}
		}
	}
	lines := []string{t.line(titles, width)}
	for _, r := range t.rows {
		lines = append(lines, t.line(r, width))
	}
	return strings.Join(lines, "\n")
}

// printTable prints a table, or notes that there is nothing to list. With --json
// the lines were printed already, and the table is empty.
func (a *App) printTable(t *table, nothing string) {
	switch {
	case len(t.rows) > 0:
		a.print("%v", t)
	case !a.json:
		a.note("%s", nothing)
	}
}

// joined are the texts of several values, for a cell.
func joined[T fmt.Stringer](list []T, separator string) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return strings.Join(texts, separator)
}

func (t *table) line(cells []string, width []int) string {
	var b strings.Builder
	for i, c := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		pad := strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(c)))
		if strings.HasPrefix(t.titles[i], ">") {
			c, pad = pad+c, ""
		}
		b.WriteString(c + pad)
	}
	return strings.TrimRight(b.String(), " ")
}
