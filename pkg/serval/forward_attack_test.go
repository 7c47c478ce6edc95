package serval

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/sal"
)

var victim = netip.AddrPortFrom(ip(77), 7777)

// volume adds up what goes to and comes from an address, and keeps what goes there.
type volume struct {
	mu      sync.Mutex
	to, by  int
	packets [][]byte
}

func (l *lab) watch(a netip.AddrPort) *volume {
	v := new(volume)
	l.net.SetTap(func(p *simnet.Packet) bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		if p.To == a {
			v.to += len(p.Data)
			v.packets = append(v.packets, append([]byte(nil), p.Data...))
		}
		if p.From == a {
			v.by += len(p.Data)
		}
		return true
	})
	return v
}

func (v *volume) got() (bytes int, packets [][]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.to, v.packets
}

// forwardedFor makes a SYN look as if it had come through the sender for another.
func forwardedFor(t testing.TB, syn []byte, who netip.AddrPort) []byte {
	t.Helper()
	out, ok := sal.ForwardSYN(append([]byte(nil), syn...), sal.Source{Addr: who}, nil)
	if !ok {
		t.Fatal("cannot forward")
	}
	return out
}

// TestForgedSource: somebody writes a victim's address into SOURCE. The victim gets
// one answer of at most three times the SYN, and with the copy through the alleged
// router no more than that goes out.
func TestForgedSource(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server := l.node(2)
	l.echo(server, "svc:echo")
	mallory := netip.AddrPortFrom(ip(66), 6666)
	for _, size := range []int{sal.MinSYN, 1024} {
		v, m := 0, 0
		var mu sync.Mutex
		l.net.SetTap(func(p *simnet.Packet) bool {
			mu.Lock()
			defer mu.Unlock()
			if p.To == victim {
				v += len(p.Data)
			}
			if p.To == mallory {
				m += len(p.Data)
			}
			return true
		})
		syn := sal.SYN{Flow: 9, HopLimit: 16, Service: sal.MustParseName("svc:echo").ServiceID(), Noise: noise(32)}
		for size > sal.MinSYN && len(syn.Append(nil)) < size {
			syn.Extensions, _ = syn.Extensions.Add(sal.ExtPad, make([]byte, 100))
		}
		pkt := forwardedFor(t, syn.Append(nil), victim)
		l.net.Inject(mallory, server.at(), pkt)
		time.Sleep(1200 * time.Millisecond) // what is repeated would be by then
		mu.Lock()
		if v > 1000 || v+m > sal.AmplificationLimit*len(pkt) {
			t.Errorf("for a SYN of %d bytes the victim got %d, the sender %d", len(pkt), v, m)
		}
		mu.Unlock()
	}
	nobody := sal.SYN{Flow: 9, HopLimit: 16, Service: sal.MustParseName("svc:none").ServiceID(), Noise: noise(32)}
	w := l.watch(victim)
	l.net.Inject(mallory, server.at(), forwardedFor(t, nobody.Append(nil), victim))
	eventually(t, "the SYN is refused", func() bool { return server.Stats().Refused == 1 })
	if n, _ := w.got(); n > sal.MinSYN {
		t.Errorf("a refusal of %d bytes", n)
	}
}

// TestForgedSourceOpens: a member of the cluster who plays router gets the copy of
// the SYN-ACK for a victim, and opens in the victim's name. The victim gets no data,
// and not more than three times what seems to come from there.
func TestForgedSourceOpens(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server := l.node(2)
	ln, err := server.Listen("svc:flood")
	must(t, err)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Write(make([]byte, 1<<20))
		}
	}()
	mallory := netip.AddrPortFrom(ip(66), 6666)
	m, v := l.watch(mallory), 0
	init, err := handshake.NewInitiator(handshake.Config{Identity: l.join(t, "mallory")}, sal.MustParseName("svc:flood"), 9, server.params(false))
	must(t, err)
	syn := forwardedFor(t, init.SYN(), victim)
	l.net.Inject(mallory, server.at(), syn)
	var copied []byte
	eventually(t, "the copy comes", func() bool {
		_, got := m.got()
		for _, b := range got {
			if d, err := sal.ParseDatagram(b); err == nil {
				p, err := sal.ParseBack(d.Noise)
				must(t, err)
				copied = p.Packet
			}
		}
		return copied != nil
	})
	_, open, err := init.HandleSYNACK(time.Now(), copied)
	must(t, err)
	w := l.watch(victim)
	sent := 0
	for range 3 {
		l.net.Inject(victim, server.at(), open)
		sent += len(open)
		time.Sleep(300 * time.Millisecond)
	}
	v, _ = w.got()
	if v > sal.AmplificationLimit*sent || v > 4096 {
		t.Errorf("the victim got %d bytes for %d", v, sent)
	}
	if v == 0 {
		t.Error("nobody asked the victim whether it is there: the test does not reach what it is for")
	}
}

// TestForgedBack: a router passes answers back only to whom it had a SYN from, and
// not for ever; a dialler takes none but from the router that it asked.
func TestForgedBack(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	router := l.nodeWith(Config{Forward: true}, ip(1))
	v := l.watch(victim)
	f := &forwarding{node: router}
	now := epochAt(time.Now())
	answer := (&sal.Refuse{Flow: 9, Code: sal.NoService}).Append(nil)
	inject := func(tag [8]byte, flow sal.FlowID) {
		back := sal.Back{Origin: at(3), Way: sal.AppendSource(nil, sal.Source{Addr: victim, Tag: tag}), Packet: answer}
		d := sal.Datagram{Source: flow, Service: routerID, Noise: back.Append(nil)}
		l.net.Inject(netip.AddrPortFrom(ip(66), 6666), router.at(), d.Append(nil))
	}
	other := &forwarding{node: l.nodeWith(Config{Forward: true}, ip(2))}
	inject([8]byte{}, 9)
	inject(other.tag(victim, at(1), 9, now), 9) // another router's
	inject(f.tag(victim, at(1), 9, now), 10)    // another dial's
	inject(f.tag(at(5), at(1), 9, now), 9)      // another dialler's
	inject(f.tag(victim, at(1), 9, now-3), 9)   // long ago
	eventually(t, "all are found out", func() bool { return router.Stats().Unauthentic == 5 })
	if n, _ := v.got(); n != 0 {
		t.Errorf("the victim got %d bytes", n)
	}
	inject(f.tag(victim, at(1), 9, now), 9)
	eventually(t, "a genuine one passes", func() bool { n, _ := v.got(); return n > 0 })

	// To the dialler, as if it had come back to it.
	client := l.nodeWith(Config{DialTimeout: 2 * time.Second}, ip(4))
	l.add("svc:echo", at(3)) // who will be slow
	server := l.hidden(3)
	l.echo(server, "svc:echo")
	l.delay(4, 3, 200*time.Millisecond)
	l.net.SetTap(func(p *simnet.Packet) bool {
		if typeOf(p.Data) == sal.TypeSYN {
			syn, _ := sal.ParseSYN(p.Data)
			for _, origin := range []netip.AddrPort{victim, at(3), {}, netip.MustParseAddrPort("127.0.0.1:7"), netip.MustParseAddrPort("255.255.255.255:7")} {
				no := sal.Refuse{Flow: syn.Flow, Code: sal.NoService, Echo: syn.Echo()}
				if !origin.IsValid() {
					origin = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
				}
				d := sal.Datagram{Source: syn.Flow, Service: routerID, Noise: (&sal.Back{Origin: origin, Packet: no.Append(nil)}).Append(nil)}
				l.net.Inject(netip.AddrPortFrom(ip(66), 6666), client.at(), d.Append(nil))
			}
		}
		return true
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.DialConn(ctx, "tcp", "svc:echo")
	must(t, err)
	must(t, exchange(c, 1000))
}
