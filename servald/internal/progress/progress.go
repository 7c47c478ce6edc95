// Package progress shows how far a transfer is: a bar that redraws itself on a
// terminal, one plain line per item elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/serval-net/serval/servald/internal/units"
)

// redraw is the least time between two drawings of the bar.
const redraw = 100 * time.Millisecond

// Meter counts bytes and shows them. Its methods are safe for concurrent use.
type Meter struct {
	mu    sync.Mutex
	out   io.Writer
	width int // columns of the terminal, 0 when out is not one
	now   func() time.Time

	item        string
	total, done int64
	start, last time.Time
	drawn       bool
}

// New returns a meter that writes to f, with a bar when f is a terminal.
func New(f *os.File) *Meter {
	width := 0
	if term.IsTerminal(int(f.Fd())) {
		width = 80
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	return newMeter(f, width, time.Now)
}

func newMeter(out io.Writer, width int, now func() time.Time) *Meter {
	t := now()
	return &Meter{out: out, width: width, now: now, start: t, last: t}
}

// Start begins the count again, towards total bytes; 0 or less says that the total
// is not known, and then no bar and no remaining time is shown.
func (m *Meter) Start(total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total, m.done, m.start = total, 0, m.now()
}

// Item says which file the bytes that follow belong to. Off a terminal it prints
// the name on a line of its own.
func (m *Meter) Item(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.item = printable(name)
	if m.width == 0 {
		fmt.Fprintln(m.out, m.item)
	}
}

// Add counts n more bytes.
func (m *Meter) Add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(n)
	if now := m.now(); m.width > 0 && now.Sub(m.last) >= redraw {
		m.last = now
		m.draw(now)
	}
}

// Printf prints a line above the bar.
func (m *Meter) Printf(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
	fmt.Fprintf(m.out, format+"\n", args...)
}

// Finish removes the bar.
func (m *Meter) Finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
}

// Done returns the bytes counted and the time since Start.
func (m *Meter) Done() (n int64, elapsed time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done, m.now().Sub(m.start)
}

func (m *Meter) clear() {
	if m.drawn {
		fmt.Fprint(m.out, "\r\x1b[K")
		m.drawn = false
	}
}

func (m *Meter) draw(now time.Time) {
	fmt.Fprint(m.out, "\r"+m.line(now)+"\x1b[K")
	m.drawn = true
}

// line is the text of the bar: name, bar, per cent, bytes, rate, remaining time.
func (m *Meter) line(now time.Time) string {
	elapsed := now.Sub(m.start)
	tail := fmt.Sprintf(" %10s  %12s", units.Bytes(m.done), units.Rate(units.BitsPerSecond(m.done, elapsed)))
	if m.total <= 0 {
		return fit(m.item, m.width-len(tail)-1) + tail
	}
	part := min(float64(m.done)/float64(m.total), 1)
	left := "--:--"
	if m.done > 0 {
		remaining := time.Duration(float64(elapsed) * float64(m.total-m.done) / float64(m.done))
		left = clock(remaining)
	}
	tail = fmt.Sprintf(" %3.0f%%%s  %s", part*100, tail, left)
	bar := ""
	if room := m.width - len(tail) - 1; room >= 40 {
		const cells = 20
		full := int(part * cells)
		bar = " [" + strings.Repeat("#", full) + strings.Repeat(".", cells-full) + "]"
	}
	return fit(m.item, m.width-len(tail)-len(bar)-1) + bar + tail
}

// clock prints a duration as m:ss or h:mm:ss.
func clock(d time.Duration) string {
	s := int(max(d, 0).Round(time.Second).Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// fit pads or cuts s to n columns, keeping the end, which tells files apart.
func fit(s string, n int) string {
	r := []rune(s)
	switch {
	case n <= 0:
		return ""
	case len(r) <= n:
		return s + strings.Repeat(" ", n-len(r))
	case n < 4:
		return string(r[len(r)-n:])
	}
	return "..." + string(r[len(r)-n+3:])
}

// printable keeps a peer's file name from writing control sequences to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return '?'
		}
		return r
	}, s)
}
