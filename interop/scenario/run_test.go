//go:build linux

package scenario

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/lab"
)

// build builds the network of a scenario for the time of a test.
func build(t *testing.T, text string) (*Scenario, *lab.Paths) {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	n, err := lab.NewPaths(s.Topology)
	if errors.Is(err, lab.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return s, n
}

// TestRun sends datagrams over both paths while a scenario stops one after the
// other, and looks at what the timeline says.
func TestRun(t *testing.T) {
	s, n := build(t, `
		path a 100mbit 2ms
		path b 100mbit 2ms
		at 200ms blackhole a down
		at 600ms unblackhole a
		at 800ms down b
		at 1200ms up b
		at 1200ms tell client hello there
		end 2200ms`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for _, w := range n.Ways {
		var c net.Conn
		err := n.Server.Do(func() (err error) {
			c, err = net.DialUDP("udp", nil, &net.UDPAddr{IP: w.Client.Addr().AsSlice(), Port: 9})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer c.Close()
			for ctx.Err() == nil {
				c.Write(make([]byte, 1000))
				time.Sleep(time.Millisecond)
			}
		}()
	}
	told := ""
	r := Runner{Scenario: s, Net: n, Tell: func(h Host, text string) error {
		told = string(h) + ": " + text
		return nil
	}}
	tl, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if told != "client: hello there" {
		t.Errorf("told %q", told)
	}
	if len(tl.Events) != 5 || tl.Events[0].What != "blackhole on a downwards" || tl.Events[0].At < 200 {
		t.Errorf("events %+v", tl.Events)
	}
	within := func(series int, from, to int) float64 { return sum(tl.Series[series].Bytes[from/20 : to/20]) }
	for _, q := range []struct {
		series, from, to int
	}{{0, 260, 600}, {1, 860, 1200}} {
		other := 1 - q.series
		if got, kept := within(q.series, q.from, q.to), within(other, q.from, q.to); got > kept/10 || kept < 20e3 {
			t.Errorf("from %d to %d ms: %v bytes on the broken path, %v on the other", q.from, q.to, got, kept)
		}
		if got := within(q.series, 1300, 2180); got < 20e3 {
			t.Errorf("at the end: %v bytes", got)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for _, text := range []string{
		"path a\nserver a\npath b\nat 1ms down server.b",
		"path a\nat 1ms calm a",
		"path a\nat 1ms rebind a",
		"path a\nat 1ms tell client hello",
	} {
		s, n := build(t, text)
		r := Runner{Scenario: s, Net: n}
		if _, err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "at 1ms") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
