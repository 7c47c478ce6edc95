package serval

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/sal"
)

// The tests of this file attack connections whose flows are moved and added, on
// whole nodes. The attacker sees all packets and is faster than the network; he
// forges no source addresses unless a test says so.

var mallory = netip.AddrPortFrom(netip.MustParseAddr("10.1.66.6"), 6666)

// spy sees the wire: it keeps copies of packets, and counts what is sent to the
// attacker.
type spy struct {
	mu     sync.Mutex
	kept   []wirePacket
	data   int // packets to the attacker that are not about paths
	paths  int // bytes to the attacker that are
	paid   int // bytes that the attacker has sent
	onward func(p *simnet.Packet) bool
}

type wirePacket struct {
	from, to netip.AddrPort
	pkt      []byte
}

// watch sets the spy on a network; f may be nil, and is called for each packet
// with the spy's lock held.
func (s *spy) watch(n *simnet.Network, f func(p *simnet.Packet) bool) {
	s.onward = f
	n.SetTap(func(p *simnet.Packet) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.To == mallory {
			switch ty := typeOf(p.Data); ty {
			case sal.TypeRSYN, sal.TypeJoinAck, sal.TypeRST: // RST: an answer to what belongs to no flow
				s.paths += len(p.Data)
			default:
				s.data++
			}
		}
		return s.onward == nil || s.onward(p)
	})
}

func (s *spy) keep(p *simnet.Packet) {
	s.kept = append(s.kept, wirePacket{p.From, p.To, append([]byte(nil), p.Data...)})
}

// send is the attacker's: from his own address. The caller holds mu.
func (s *spy) send(n *simnet.Network, to netip.AddrPort, pkt []byte) {
	s.paid += len(pkt)
	n.Inject(mallory, to, pkt)
}

// verdict fails the test if the attacker got what is not his. It returns the bytes that
// he sent, and got about paths.
func (s *spy) verdict(t *testing.T) (sent, got int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data > 0 {
		t.Errorf("%d packets of the connection went to the attacker", s.data)
	}
	if s.paths > sal.AmplificationLimit*s.paid {
		t.Errorf("%d bytes went to the attacker, who sent %d", s.paths, s.paid)
	}
	return s.paid, s.paths
}

// remoteOf is where a connection's flow goes.
func remoteOf(c *Conn, i int) netip.AddrPort {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.link.paths[i].remote
}

// waitRemote waits until a connection's first flow goes to an address.
func waitRemote(t *testing.T, c *Conn, want netip.Addr) {
	t.Helper()
	eventually(t, fmt.Sprint("the peer is taken to be at ", want), func() bool { return remoteOf(c, 0).Addr() == want })
}

func migrate(t *testing.T, c *Conn, to netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, c.Migrate(ctx, MigrateTo{Addr: to}))
}

func single() Config { return Config{MaxFlows: 1} }

// TestStolenFlowID: whoever has a connection of his own to the node cannot use its
// keys for the flows of another.
func TestStolenFlowID(t *testing.T) {
	t.Parallel()
	w := newTwo(t, single(), single())
	a, b := w.echoPair()
	rogue := w.nodeOn(w.net.Host(mallory.Addr()), single(), mallory.Addr())
	mine, theirs := w.pairOn(rogue, w.server)
	go echoOn(theirs)
	must(t, ask(mine, "hello"))
	var s spy
	s.watch(w.net, nil)
	at, victim := remoteOf(a, 0), a.flowOf()
	before := w.server.Stats().Unauthentic
	k := mine.link
	k.mu.Lock()
	for i := range 40 {
		r := sal.RSYNFrame{Verno: uint64(i + 1), Flow: victim.Local, Nonce: fresh()}
		pkt := k.set.SealPath(k.node.now(), 0, sal.TypeRSYN, sal.AppendRSYN(nil, r), make([]byte, 512))
		if i%2 == 0 { // sealed with our keys, for their flow
			binary.BigEndian.PutUint32(pkt[1:], uint32(victim.Remote))
		} // or for ours, but about theirs
		s.send(w.net, at, pkt)
	}
	k.mu.Unlock()
	eventually(t, "the forgeries arrive", func() bool { return w.server.Stats().Unauthentic >= before+10 })
	must(t, ask(a, "undisturbed"))
	must(t, ask(mine, "so is this"))
	s.verdict(t)
	for _, c := range []*Conn{b, theirs} {
		if v := c.link.paths[0].at.PeerVersion(); v != 0 {
			t.Errorf("the server believes in a move, version %d", v)
		}
	}
}

// TestReplayedRSYN: RSYNs are kept from arriving, and sent when the flow has long
// moved on: from where they came and from the attacker's own address.
func TestReplayedRSYN(t *testing.T) {
	t.Parallel()
	w := newTwo(t, single(), single())
	a, b := w.echoPair()
	var s spy
	holding := true
	s.watch(w.net, func(p *simnet.Packet) bool {
		if p.From.Addr() == w.c2 && typeOf(p.Data) == sal.TypeRSYN {
			s.keep(p)
			return !holding
		}
		return true
	})
	home := a.Flows()[0].Local.Addr()
	if home == w.c2 {
		t.Fatalf("the flow begins at %v", home)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if err := a.Migrate(ctx, MigrateTo{Addr: w.c2}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Migrate over a path that takes no RSYN: %v", err)
	}
	must(t, ask(a, "at home"))
	eventually(t, "the flow stays by a newer version", func() bool {
		b.link.mu.Lock()
		defer b.link.mu.Unlock()
		return b.link.paths[0].at.PeerVersion() == 2
	})
	version := func() (uint64, bool) {
		b.link.mu.Lock()
		defer b.link.mu.Unlock()
		return b.link.paths[0].at.PeerVersion(), b.link.paths[0].at.Asking()
	}
	replay := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, k := range s.kept {
			s.send(w.net, k.to, k.pkt)
			w.net.Inject(k.from, k.to, k.pkt)
		}
	}
	s.mu.Lock()
	n := len(s.kept)
	s.mu.Unlock()
	if n == 0 {
		t.Fatal("no RSYN was seen")
	}
	replay()
	time.Sleep(50 * time.Millisecond)
	if v, asking := version(); v != 2 || asking || remoteOf(b, 0).Addr() != home {
		t.Errorf("after the replay of what never arrived: version %d, asking %v, peer at %v", v, asking, remoteOf(b, 0))
	}
	s.mu.Lock()
	holding = false
	s.mu.Unlock()
	migrate(t, a, w.c2)
	waitRemote(t, b, w.c2)
	migrate(t, a, home)
	waitRemote(t, b, home)
	replay() // now also of what did arrive
	must(t, ask(a, "still at home"))
	if remoteOf(b, 0).Addr() != home {
		t.Errorf("the peer is taken to be at %v", remoteOf(b, 0))
	}
	s.verdict(t)
}

// TestCopyingAttacker: all that the client sends comes from the attacker's address
// first. He hands on to the client what he gets for it.
func TestCopyingAttacker(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name    string
		cfg     Config
		upwards bool
	}{{"RSYN", single(), true}, {"Upload", single(), true}, {"Download", single(), false}, {"Join", Config{}, true}} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			w := newTwo(t, mode.cfg, mode.cfg)
			var s spy
			client := map[netip.Addr]netip.AddrPort{}
			copies := 0
			s.watch(w.net, func(p *simnet.Packet) bool {
				from := p.From.Addr()
				switch ty := typeOf(p.Data); {
				case p.To == mallory:
					for _, at := range client {
						w.net.Inject(mallory, at, p.Data)
					}
				case from != w.c1 && from != w.c2:
				case ty.Short() || ty == sal.TypeJoin:
					client[from] = p.From
					// If he always won, no move would succeed: he need not be let in.
					if copies++; copies%3 != 0 {
						s.send(w.net, p.To, p.Data)
					}
				}
				return true
			})
			a, b := w.pairOn(w.client, w.server)
			x, y := a, b
			if !mode.upwards {
				x, y = b, a
			}
			before := w.server.Stats().Unauthentic
			bulk(t, x, y, plenty(), func() {
				for i := range 10 {
					if mode.name == "RSYN" {
						migrate(t, a, []netip.Addr{w.c2, w.c1}[i%2])
					}
					time.Sleep(20 * time.Millisecond)
				}
			})
			if mode.name == "RSYN" {
				migrate(t, a, w.c1)
				waitRemote(t, b, w.c1)
			}
			if mode.name == "Join" {
				eventually(t, "the second flow is where it belongs", func() bool {
					return len(b.Flows()) == 2 && remoteOf(b, 1) != mallory && b.Flows()[1].State == "active"
				})
			}
			sent, got := s.verdict(t)
			if sent == 0 || mode.upwards && got == 0 {
				t.Errorf("the attacker sent %d bytes and got %d: the test attacks nothing", sent, got)
			}
			t.Logf("attacker sent %d, got %d; unauthentic %d", sent, got, w.server.Stats().Unauthentic-before)
		})
	}
}

// TestRewritingMiddle: for a while a router gives all that the client sends the
// address of the attacker, as a NAT would; the way to the client still works.
func TestRewritingMiddle(t *testing.T) {
	t.Parallel()
	for _, upload := range []bool{true, false} {
		w := newTwo(t, single(), single())
		a, b := w.pairOn(w.client, w.server)
		var s spy
		rewriting := false
		s.watch(w.net, func(p *simnet.Packet) bool {
			if rewriting && p.From.Addr() == w.c1 && typeOf(p.Data).Short() {
				p.From = mallory
				s.paid += len(p.Data)
			}
			return true
		})
		set := func(on bool) {
			s.mu.Lock()
			rewriting = on
			s.mu.Unlock()
		}
		x, y := a, b
		if !upload {
			x, y = b, a
		}
		bulk(t, x, y, size(16<<20), func() {
			for range 4 {
				time.Sleep(60 * time.Millisecond)
				set(true)
				time.Sleep(60 * time.Millisecond)
				set(false)
			}
		})
		if sent, _ := s.verdict(t); sent == 0 && size(2) == 2 {
			t.Error("the transfer was over before the attack")
		}
		if got := remoteOf(b, 0).Addr(); got != w.c1 {
			t.Errorf("the client is taken to be at %v", got)
		}
	}
}

// TestHostilePaths: a member lists addresses that are nobody's or a victim's, and
// is silent then. Little goes there, and to what cannot be a node nothing.
func TestHostilePaths(t *testing.T) {
	t.Parallel()
	for _, accepting := range []bool{true, false} {
		w := newTwo(t, Config{}, Config{})
		a, b := w.pairOn(w.client, w.server)
		hostile, honest := a, b // hostile lies, honest suffers
		if accepting {
			hostile, honest = b, a
		}
		var mu sync.Mutex
		sent := map[netip.AddrPort]int{}
		w.net.SetTap(func(p *simnet.Packet) bool {
			mu.Lock()
			sent[p.To]++
			mu.Unlock()
			return true
		})
		never := []string{"255.255.255.255:9", "224.0.0.1:9", "[ff02::1]:9", "0.0.0.0:9", "[::]:9", "127.0.0.1:22", "[::1]:22", "10.1.7.7:0"}
		tell := func(round byte) {
			f := sal.PathsFrame{}
			for _, s := range never {
				f.Addrs[f.NAddrs] = netip.MustParseAddrPort(s)
				f.NAddrs++
			}
			f.Addrs[f.NAddrs] = honest.Flows()[0].Local // its own
			for f.NAddrs++; f.NAddrs < sal.MaxPathAddrs; f.NAddrs++ {
				f.Addrs[f.NAddrs] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, round, byte(f.NAddrs)}), 53)
			}
			hostile.link.mu.Lock()
			hostile.link.set.Advertise(&f)
			hostile.link.pump(hostile.link.node.now())
			hostile.link.mu.Unlock()
		}
		go io.Copy(io.Discard, hostile)
		go honest.Write(make([]byte, 100<<10)) // worth further flows
		for round := range byte(40) {
			tell(round)
			time.Sleep(10 * time.Millisecond)
		}
		for _, x := range []netip.Addr{w.c1, w.c2} {
			for _, y := range []netip.Addr{w.s1, w.s2} {
				w.blackhole(x, y, true)
			}
		}
		began := time.Now()
		time.Sleep(1500 * time.Millisecond)
		spent := time.Since(began)
		mu.Lock()
		total := 0
		for at, n := range sent {
			if at.Addr().Is4() && at.Addr().As4()[1] == 9 && at.Addr().As4()[0] == 10 {
				total += n
			}
		}
		for _, s := range never {
			if n := sent[netip.MustParseAddrPort(s)]; n > 0 {
				t.Errorf("accepting %v: %d packets went to %s", accepting, n, s)
			}
		}
		mu.Unlock()
		// six addresses for each RSYN, which are at least 20 ms apart and ever rarer
		if most := 6*30 + 60; total > most {
			t.Errorf("accepting %v: %d packets went to strangers in %v", accepting, total, spent)
		}
		honest.link.mu.Lock()
		if n := len(honest.link.peerAddrs) + len(honest.link.bad) + len(honest.link.failed); n > 200 {
			t.Errorf("accepting %v: %d addresses are remembered", accepting, n)
		}
		honest.link.mu.Unlock()
		t.Logf("accepting %v: %d packets to strangers", accepting, total)
	}
}

// TestSpoofedMet: packets as from a rendezvous, with an attacker's address in them.
func TestSpoofedMet(t *testing.T) {
	t.Parallel()
	w := newTwo(t, single(), single())
	a, b := w.echoPair()
	third := netip.AddrPortFrom(ip(3), 7000)
	w.server.cfg.Rendezvous = []netip.AddrPort{third}
	name := a.link.joiner.Rendezvous()
	var s spy
	copies := 0
	s.watch(w.net, func(p *simnet.Packet) bool {
		if copies++; copies%2 == 0 && (p.From.Addr() == w.c1 || p.From.Addr() == w.c2) {
			d := metPacket(mallory, p.Data)
			copy(d[len(d)-len(p.Data)-7-16:], name[:])
			s.paid += len(p.Data)
			w.net.Inject(third, p.To, d) // he even forges the rendezvous' address
		}
		if p.To == mallory {
			for _, at := range []netip.Addr{w.c1, w.c2} {
				w.net.Inject(mallory, netip.AddrPortFrom(at, 49152), p.Data)
			}
		}
		return true
	})
	before := w.server.Stats()
	for i := range 10 {
		must(t, ask(a, "before a move"))
		migrate(t, a, []netip.Addr{w.c2, w.c1}[i%2])
	}
	for _, from := range []string{"255.255.255.255:1", "224.0.0.5:1", "[::1]:5", "127.0.0.1:5", "10.1.1.1:0"} {
		w.net.Inject(third, remoteOf(a, 0), metPacket(netip.MustParseAddrPort(from), noise(60)))
	}
	must(t, ask(a, "and after"))
	eventually(t, "impossible addresses are counted", func() bool { return w.server.Stats().Malformed >= before.Malformed+5 })
	waitRemote(t, b, a.Flows()[0].Local.Addr())
	b.link.mu.Lock()
	if b.link.paths[0].met.IsValid() || b.link.knows(mallory) {
		t.Error("the server believes who it did not ask")
	}
	b.link.mu.Unlock()
	if _, got := s.verdict(t); got == 0 {
		t.Error("nothing reached the attacker: the test attacks nothing")
	}
}
