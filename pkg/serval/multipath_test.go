package serval

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
)

// two is a client and a server with two interfaces each, on two networks that
// are joined: 100 Mbit/s and 10 ms there and back.
type two struct {
	*lab
	client, server         *Node
	clientHost, serverHost *simnet.Host
	c1, c2, s1, s2         netip.Addr
}

func newTwo(t testing.TB, client, server Config) *two {
	l := newLab(t)
	w := &two{lab: l, c1: netip.MustParseAddr("10.1.0.1"), c2: netip.MustParseAddr("10.2.0.1"),
		s1: netip.MustParseAddr("10.1.9.9"), s2: netip.MustParseAddr("10.2.9.9")}
	w.clientHost, w.serverHost = l.net.Host(w.c1, w.c2), l.net.Host(w.s1, w.s2)
	for _, h := range []*simnet.Host{w.clientHost, w.serverHost} {
		for _, a := range []netip.Addr{w.c1, w.c2, w.s1, w.s2} {
			if i := h.Interface(a); i != nil {
				i.Uplink().Set(simnet.Params{Rate: 100e6, Delay: 2500 * time.Microsecond})
				i.Downlink().Set(simnet.Params{Delay: 2500 * time.Microsecond})
			}
		}
	}
	open := func(h *simnet.Host, cfg Config) *Node {
		cfg.network = h
		cfg.Identity = l.join(l, "node")
		if cfg.Resolver == nil {
			cfg.Resolver = l.book
		}
		n, err := NewNode(cfg)
		must(l, err)
		l.Cleanup(func() { n.Close() })
		return n
	}
	w.server, w.client = open(w.serverHost, server), open(w.clientHost, client)
	return w
}

// apart cuts the way between the two networks: c1 reaches s1 only, c2 only s2.
func (w *two) apart() {
	w.blackhole(w.c1, w.s2, true)
	w.blackhole(w.c2, w.s1, true)
}

// waitFlows waits until a connection has n active flows.
func waitFlows(t testing.TB, c *Conn, n int) {
	t.Helper()
	var got []Flow
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		got = c.Flows()
		active := 0
		for _, f := range got {
			if f.State == "active" {
				active++
			}
		}
		if active == n {
			return
		}
	}
	t.Fatalf("the connection should have %d active flows, has %+v", n, got)
}

func describe(c *Conn) (s string) {
	for _, f := range c.Flows() {
		s += fmt.Sprintf("\n  %d %s %v > %v sent %d received %d rtt %v", f.Index, f.State, f.Local, f.Remote, f.BytesSent, f.BytesReceived, f.RTT)
	}
	return s
}

// bulk transfers n bytes from a to b while f does something to the network.
func bulk(t *testing.T, a, b *Conn, n int, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- transfer(a, b, n, 7) }()
	f()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("%v%s", err, describe(a))
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("the transfer stands still%s%s", describe(a), describe(b))
	}
}

// plenty is more than is sent before a second flow has joined.
func plenty() int { return max(size(16<<20), 6<<20) }

func TestUsesBothInterfaces(t *testing.T) {
	w := newTwo(t, Config{}, Config{})
	a, b := w.pairOn(w.client, w.server)
	bulk(t, a, b, plenty(), func() { waitFlows(t, a, 2) })
	waitFlows(t, b, 2)
	for _, f := range a.Flows() {
		if f.BytesSent < uint64(plenty())/5 {
			t.Errorf("flow %d of two carried little%s", f.Index, describe(a))
		}
	}
}

func TestSurvivesInterfaceDown(t *testing.T) {
	for _, upload := range []bool{true, false} {
		w := newTwo(t, Config{}, Config{})
		a, b := w.pairOn(w.client, w.server)
		x, y := a, b
		if !upload {
			x, y = b, a
		}
		bulk(t, x, y, plenty(), func() {
			waitFlows(t, a, 2)
			w.clientHost.Interface(w.c1).SetUp(false)
			waitFlows(t, a, 1)
			w.clientHost.Interface(w.c1).SetUp(true)
			waitFlows(t, a, 2)
		})
	}
}

func TestOneFlowMovesWhenItsAddressGoes(t *testing.T) {
	w := newTwo(t, Config{}, Config{})
	a, b := w.pairOn(w.client, w.server)
	go echoOn(b)
	must(t, ask(a, "before"))
	for _, c := range []struct {
		h    *simnet.Host
		addr netip.Addr
	}{{w.clientHost, a.Flows()[0].Local.Addr()}, {w.serverHost, b.Flows()[0].Local.Addr()}} {
		c.h.Interface(c.addr).SetUp(false)
		must(t, ask(a, "after"))
		c.h.Interface(c.addr).SetUp(true)
		must(t, ask(a, "and again"))
	}
}

func TestMigrate(t *testing.T) {
	w := newTwo(t, Config{}, Config{})
	a, b := w.pairOn(w.client, w.server)
	go echoOn(b)
	for i := range 50 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := a.Migrate(ctx, MigrateTo{Addr: []netip.Addr{w.c2, w.c1}[i%2]})
		cancel()
		if err != nil {
			t.Fatalf("migration %d: %v%s", i, err, describe(a))
		}
		if err := ask(a, fmt.Sprint("message ", i)); err != nil {
			t.Fatalf("after migration %d: %v%s%s", i, err, describe(a), describe(b))
		}
	}
}

// echoOn echoes until the connection ends.
func echoOn(c *Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		c.Write(buf[:n])
	}
}
