//go:build linux

package traffic

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

type tcp struct{}

func (tcp) Listen(addr netip.AddrPort) (net.Listener, []netip.AddrPort, error) {
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, nil, err
	}
	return l, []netip.AddrPort{l.Addr().(*net.TCPAddr).AddrPort()}, nil
}

func (tcp) Dial(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addrs[0].String())
}

// start returns a server and the addresses it listens on.
func start(t *testing.T) (*server, []netip.AddrPort) {
	t.Helper()
	l, addrs, err := tcp{}.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &server{}
	go s.accept(l)
	return s, addrs
}

func TestEveryKindIsExact(t *testing.T) {
	for _, kind := range []Kind{Down, Up, Ask} {
		t.Run(string(kind), func(t *testing.T) {
			s, addrs := start(t)
			c, err := open(t.Context(), tcp{}, Spec{Kind: kind, Addrs: addrs})
			if err != nil {
				t.Fatal(err)
			}
			carried := func() int64 { r := c.rec.report(); return r.Sent + r.Received }
			for carried() == 0 {
				select {
				case <-c.done:
					t.Fatal("the work ended before anything was carried")
				case <-time.After(time.Millisecond):
				}
			}
			near := c.finish(10 * time.Second)
			far := s.records()
			if len(far) != 1 {
				t.Fatalf("%d records at the server", len(far))
			}
			if err := Exact(near, far[0]); err != nil {
				t.Error(err)
			}
			near.ReceivedSum = "else"
			if Exact(near, far[0]) == nil {
				t.Error("a changed stream passed for exact")
			}
		})
	}
}

func TestIdleAnswersTouches(t *testing.T) {
	_, addrs := start(t)
	c, err := open(t.Context(), tcp{}, Spec{Kind: Idle, Addrs: addrs, Conns: 40})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := c.touch(10 * time.Second); got.Answered != 40 || got.Error != "" {
			t.Errorf("touched: %+v", got)
		}
	}
}

func TestGapAndRate(t *testing.T) {
	const ms = time.Millisecond
	s := []Sample{{10 * ms, 1000}, {20 * ms, 1000}, {90 * ms, 1000}, {100 * ms, 1000}}
	for _, c := range []struct{ from, begun, to, want time.Duration }{
		{0, 110 * ms, 110 * ms, 70 * ms},         // between arrivals
		{0, 200 * ms, 200 * ms, 100 * ms},        // the end counts
		{0, 15 * ms, 200 * ms, 10 * ms},          // what begins later does not
		{0, 20 * ms, 200 * ms, 70 * ms},          // but what has begun does, whole
		{50 * ms, 110 * ms, 110 * ms, 70 * ms},   // a gap that began before counts whole
		{95 * ms, 101 * ms, 101 * ms, 10 * ms},   // so does the last
		{300 * ms, 400 * ms, 400 * ms, 300 * ms}, // nothing since
		{-50 * ms, 15 * ms, 15 * ms, 60 * ms},    // nothing before
	} {
		if got := Gap(s, c.from, c.begun, c.to); got != c.want {
			t.Errorf("Gap(%v, %v, %v) = %v, want %v", c.from, c.begun, c.to, got, c.want)
		}
	}
	for _, c := range []struct{ works, to, want time.Duration }{
		{50 * ms, 110 * ms, 40 * ms},   // the part of the silence after it
		{15 * ms, 110 * ms, 70 * ms},   // a silence that began later
		{100 * ms, 400 * ms, 300 * ms}, // never again
	} {
		if got := Recovery(s, c.works, c.to); got != c.want {
			t.Errorf("Recovery(%v, %v) = %v, want %v", c.works, c.to, got, c.want)
		}
	}
	if got := Rate(s, 0, 100*ms); got != 0.24 {
		t.Errorf("rate %v Mbit/s, want 0.24", got)
	}
	if got := RateReached(s, 30*ms, 200*ms, 20*ms, 0.7); got != 80*ms {
		t.Errorf("reached after %v, want 80ms", got)
	}
	if got := RateReached(s, 30*ms, 200*ms, 20*ms, 7); got != 170*ms {
		t.Errorf("never reached, but after %v", got)
	}
}
