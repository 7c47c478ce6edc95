package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// fake is a clock that the test moves.
type fake struct{ t time.Time }

func (f *fake) now() time.Time { return f.t }

func TestBarShowsRateAndRemainingTime(t *testing.T) {
	var out bytes.Buffer
	clock := &fake{t: time.Unix(1000, 0)}
	m := newMeter(&out, 100, clock.now)
	m.Start(100 << 20)
	m.Item("big.bin")
	clock.t = clock.t.Add(time.Second)
	m.Add(25 << 20)
	line := out.String()
	for _, want := range []string{"big.bin", "[#####...............]", " 25%", "25.0 MiB", "209.7 Mbit/s", "00:03"} {
		if !strings.Contains(line, want) {
			t.Errorf("bar %q lacks %q", line, want)
		}
	}
	out.Reset()
	m.Add(1) // too soon to draw again
	if out.Len() != 0 {
		t.Errorf("drew %q within %v", out.String(), redraw)
	}
	m.Finish()
	if got := out.String(); got != "\r\x1b[K" {
		t.Errorf("Finish wrote %q", got)
	}
}

func TestBarFitsItsTerminal(t *testing.T) {
	clock := &fake{t: time.Unix(1000, 0)}
	for width := 1; width < 160; width++ {
		m := newMeter(&bytes.Buffer{}, width, clock.now)
		m.Start(1 << 40)
		m.item = strings.Repeat("long/", 40)
		if n := len(m.line(clock.t.Add(time.Hour))); width >= 60 && n > width {
			t.Errorf("line of %d columns on a terminal of %d", n, width)
		}
	}
}

func TestPlainLinesOffATerminal(t *testing.T) {
	var out bytes.Buffer
	m := newMeter(&out, 0, time.Now)
	m.Start(10)
	m.Item("a\x1b[2Jb")
	m.Add(10)
	m.Printf("done")
	m.Finish()
	if got, want := out.String(), "a?[2Jb\ndone\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
	if n, _ := m.Done(); n != 10 {
		t.Errorf("counted %d bytes, want 10", n)
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "00:00", 61 * time.Second: "01:01", 3661 * time.Second: "1:01:01",
	} {
		if got := clock(d); got != want {
			t.Errorf("clock(%v) = %q, want %q", d, got, want)
		}
	}
}
