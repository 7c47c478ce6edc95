package serval

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"time"
)

// TestReport: a load is told when it has changed by more than a tenth or has
// become too much, and not twice in a second.
func TestReport(t *testing.T) {
	begin := time.Unix(1000, 0)
	var r report
	told := 0.0
	for _, c := range []struct {
		after time.Duration // since the begin
		load  float64
		tell  bool
		wait  time.Duration
	}{
		{0, 0.1, false, time.Hour},
		{0, 0.2, true, time.Hour},
		{100 * time.Millisecond, 0.29, false, time.Hour},
		{200 * time.Millisecond, 0.5, false, 800 * time.Millisecond},
		{time.Second, 0.95, true, time.Hour},
		{2 * time.Second, 0.99, false, time.Hour},
		{2 * time.Second, 1, true, time.Hour},
		{3 * time.Second, 1.05, false, time.Hour},
		{3500 * time.Millisecond, 0.95, true, time.Hour},
		{4 * time.Second, 0, false, 500 * time.Millisecond},
	} {
		tell, wait := r.due(begin.Add(c.after), told, c.load)
		if tell {
			told = c.load
		}
		if tell != c.tell || wait != c.wait {
			t.Errorf("load %v after %v: %v, wait %v; want %v, %v", c.load, c.after, tell, wait, c.tell, c.wait)
		}
	}
}

// gauge is a load that a test sets.
type gauge struct{ bits atomic.Uint64 }

func (g *gauge) set(v float64) { g.bits.Store(math.Float64bits(v)) }
func (g *gauge) get() float64  { return math.Float64frombits(g.bits.Load()) }

// TestLoadReachesTheRegistration: of the backlog and the listener's function the
// larger is known to others.
func TestLoadReachesTheRegistration(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server, client := l.node(1), l.node(2)
	var g gauge
	g.set(0.5)
	lc := ListenConfig{Node: server, Load: g.get, Backlog: 4}
	ln, err := lc.Listen(t.Context(), "svc:busy")
	must(t, err)
	defer ln.Close()
	is := func(want float64) {
		t.Helper()
		eventually(t, "the load is known", func() bool { return l.only("svc:busy").Load == want })
	}
	if got := l.only("svc:busy").Load; got != 0.5 {
		t.Errorf("it was registered with the load %v", got)
	}
	for _, c := range []struct{ says, known float64 }{{0.8, 0.8}, {math.NaN(), 0}, {1e9, 65.535}, {-3, 0}} {
		g.set(c.says)
		is(c.known)
	}
	for range 3 { // of the backlog of 4
		defer l.dial(client, "svc:busy").Close()
	}
	is(0.75)
	for range 3 {
		c, err := ln.Accept()
		must(t, err)
		defer c.Close()
	}
	is(0)
	g.set(0.5)
	is(0.5)
	must(t, ln.Update(t.Context(), func(lc *ListenConfig) { lc.Load = nil }))
	is(0)
}

// TestShed: who is too busy refuses, and the same dial goes elsewhere. If all
// are too busy, it waits until one is not, or for its deadline.
func TestShed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.nodeWith(Config{TryNext: time.Hour}, ip(1)) // no timer helps
	var loads [2]gauge
	var servers [2]*Node
	for i := range servers {
		servers[i] = l.node(2 + i)
		lc := ListenConfig{Node: servers[i], Load: loads[i].get}
		ln, err := lc.Listen(t.Context(), "svc:echo")
		must(t, err)
		go acceptEcho(ln)
	}
	busy := func(first, second float64) {
		t.Helper()
		loads[0].set(first)
		loads[1].set(second)
		eventually(t, "the listeners know of their loads", func() bool {
			for i, n := range servers {
				if n.Listeners()[0].own() != loads[i].get() {
					return false
				}
			}
			return true
		})
	}
	reached := func() *Node {
		t.Helper()
		c := l.dial(client, "svc:echo")
		must(t, ask(c, "x"))
		must(t, c.Close())
		for _, n := range servers {
			if c.PeerIdentity().Node == n.ID() {
				return n
			}
		}
		return nil
	}
	if reached() != servers[0] {
		t.Error("the preferred instance was not taken")
	}
	busy(1, 0)
	if reached() != servers[1] { // who may have heard of the load, and not asked first
		t.Error("the busy instance did not shed")
	}
	busy(1.5, 3)
	time.AfterFunc(300*time.Millisecond, func() { loads[1].set(0.9) })
	if reached() != servers[1] {
		t.Error("the instance that got room was not taken")
	}
	busy(2, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	begin, refused := time.Now(), servers[0].Stats().Refused
	_, err := client.DialContext(ctx, "tcp", "svc:echo")
	sentence(t, err, ErrRefused, "svc:echo", "overloaded", "tried 2 instances")
	if took := time.Since(begin); took < 600*time.Millisecond {
		t.Errorf("the dial gave up after %v", took)
	}
	if n := servers[0].Stats().Refused - refused; n < 1 || n > 8 {
		t.Errorf("a busy instance was asked %d times in 700 ms", n)
	}
}
