package serval

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// The tests of this file are the holes of the 2012 prototype and of others,
// tried on whole nodes. An attacker is off the path where it only uses
// Inject, and on it where it has a tap.

// flowOf returns the flow of a connection's first path.
func (c *Conn) flowOf() *flow.Flow { return c.link.paths[0].flow }

// at is where a node's first socket is.
func (n *Node) at() netip.AddrPort { return n.sockets.list()[0].LocalAddr() }

// noise returns n random bytes.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// TestBlindRST: resets from the right address for the right flow, but without
// its keys, end nothing.
func TestBlindRST(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	c := l.dial(client, "svc:echo")
	must(t, ask(c, "before"))
	local, remote := c.flowOf().Local, c.flowOf().Remote
	for pn := range uint64(50) {
		for _, size := range []int{0, 1, 16, 17, 40, 300} {
			l.net.Inject(server.at(), client.at(), append(sal.AppendShort(nil, sal.TypeRST, false, byte(pn&1), local, pn), noise(size)...))
			l.net.Inject(client.at(), server.at(), append(sal.AppendShort(nil, sal.TypeRST, false, byte(pn&1), remote, pn), noise(size)...))
		}
		// in the form of a stateless reset, which names the other end's flow
		l.net.Inject(server.at(), client.at(), append(sal.AppendShort(nil, sal.TypeRST, false, 0, remote, 0), noise(16)...))
		l.net.Inject(client.at(), server.at(), append(sal.AppendShort(nil, sal.TypeRST, false, 0, local, 0), noise(16)...))
	}
	must(t, ask(c, "after"))
	must(t, exchange(c, 10_000))
}

// TestForgedSYNACK: an attacker who sees the SYN answers first, as a member of
// another cluster or with noise. The dial waits for the genuine answer.
func TestForgedSYNACK(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.delay(1, 2, 50*time.Millisecond)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	mallory := handshake.NewResponder(handshake.Config{Identity: newCluster(t).join(t, "mallory")})
	var forged atomic.Int32
	l.net.SetTap(func(p *simnet.Packet) bool {
		syn, err := sal.ParseSYN(p.Data)
		if err != nil {
			return true
		}
		reply, _, err := mallory.HandleSYN(time.Now(), p.Data, p.From, handshake.Offer{
			Service: sal.MustParseName("svc:echo"), NewFlow: func() sal.FlowID { return 7 }})
		if err != nil || reply == nil {
			return true
		}
		forged.Add(1)
		l.net.Inject(p.To, p.From, reply)
		junk := sal.SYNACK{Flow: syn.Flow, Source: 8, Noise: noise(400)}
		l.net.Inject(p.To, p.From, junk.Append(nil))
		flipped := append([]byte(nil), reply...)
		flipped[len(flipped)-1] ^= 1
		l.net.Inject(p.To, p.From, flipped)
		return true
	})
	c := l.dial(client, "svc:echo")
	if c.PeerIdentity().Node != server.ID() || forged.Load() == 0 {
		t.Fatalf("connected to %v after %d forgeries", c.RemoteAddr(), forged.Load())
	}
	must(t, exchange(c, 10_000))
}

// TestForgedRefuse: without having seen the SYN a refusal means nothing; with
// it, it delays a dial by less than a timer.
func TestForgedRefuse(t *testing.T) {
	t.Parallel()
	for _, onPath := range []bool{false, true} {
		l := newLab(t)
		l.delay(1, 2, 50*time.Millisecond)
		client, server := l.node(1), l.node(2)
		l.echo(server, "svc:echo")
		l.net.SetTap(func(p *simnet.Packet) bool {
			if syn, err := sal.ParseSYN(p.Data); err == nil {
				r := sal.Refuse{Flow: syn.Flow, Code: sal.NoService, Echo: [16]byte(noise(16))}
				if onPath {
					r.Echo = syn.Echo()
				}
				l.net.Inject(p.To, p.From, r.Append(nil))
				k := sal.Cookie{Flow: syn.Flow, Echo: r.Echo, Cookie: noise(64)}
				l.net.Inject(p.To, p.From, k.Append(nil))
			}
			return true
		})
		must(t, exchange(l.dial(client, "svc:echo"), 10_000))
	}
}

// TestReplayedData repeats every packet of a connection, at once and again when
// the connection is at work on others.
func TestReplayedData(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	type copied struct {
		from, to netip.AddrPort
		data     []byte
	}
	var mu sync.Mutex
	var seen []copied
	l.net.SetTap(func(p *simnet.Packet) bool {
		mu.Lock()
		defer mu.Unlock()
		l.net.Inject(p.From, p.To, p.Data)
		if len(seen) < 500 {
			seen = append(seen, copied{p.From, p.To, append([]byte(nil), p.Data...)})
		}
		return true
	})
	c := l.dial(client, "svc:echo")
	must(t, ask(c, "before"))
	replay := func() {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range seen {
			l.net.Inject(s.from, s.to, s.data)
		}
	}
	replay()
	must(t, ask(c, "between"))
	replay()
	must(t, exchange(c, 300_000))
	replay()
	eventually(t, "both nodes have one connection at most to forget", func() bool {
		return client.Stats().Connections == 0 && server.Stats().Connections == 0
	})
}

// TestTamperedHeader flips each bit of the headers of data packets in turn,
// now in a copy that comes first, now in the packet itself.
func TestTamperedHeader(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	var n atomic.Int32
	l.net.SetTap(func(p *simnet.Packet) bool {
		if ty, err := sal.PeekType(p.Data); err != nil || !ty.Short() {
			return true
		}
		i := int(n.Add(1))
		bit := i % (8 * sal.DataHeaderLen)
		if i%8 < 7 {
			bad := append([]byte(nil), p.Data...)
			bad[bit/8] ^= 1 << (bit % 8)
			l.net.Inject(p.From, p.To, bad)
			return true
		}
		p.Data[bit/8] ^= 1 << (bit % 8)
		return true
	})
	c := l.dial(client, "svc:echo")
	must(t, ask(c, "request"))
	must(t, exchange(c, 500_000))
	if got := client.Stats().Unauthentic + server.Stats().Unauthentic; got == 0 {
		t.Error("no packet failed authentication: the test tampers with nothing")
	}
	t.Logf("%d packets, %d unauthentic", n.Load(), client.Stats().Unauthentic+server.Stats().Unauthentic)
}

// impostor makes a node serve a name without its own check of the right to.
func impostor(t *testing.T, n *Node, service string) {
	t.Helper()
	ln := &Listener{node: n, name: sal.MustParseName(service), backlog: 8, incoming: make(chan *Conn, 8), closed: make(chan struct{})}
	ln.loading.init()
	close(ln.watched) // by nobody
	must(t, n.addListener(ln))
}

func TestWrongCertificateForName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.node(1)
	rogue := l.nodeWith(Config{Identity: l.identityWith(identity.Rights{Serve: []string{"other"}})}, ip(2))
	impostor(t, rogue, "svc:web")
	l.add("svc:web", rogue.at())
	_, err := client.Dial("svc:web")
	sentence(t, err, ErrNotAuthorized, "svc:web", "does not allow it to serve")
	_, err = rogue.Listen("svc:bank")
	sentence(t, err, ErrNotAuthorized, "does not allow it to serve svc:bank", "join with a token")
	t.Run("GenuineIsNext", func(t *testing.T) {
		server := l.node(3)
		l.echo(server, "svc:web")
		must(t, exchange(l.dial(client, "svc:web"), 1000))
	})
}

func TestExpiredCertificate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	root := identity.NewRoot()
	past := time.Now().Add(-2 * time.Hour)
	token, err := root.Grant(identity.Grant{Lifetime: time.Hour}, past)
	must(t, err)
	expired, err := token.Join(identity.Member{Name: "old"}, past)
	must(t, err)
	token, err = root.Grant(identity.Grant{}, time.Now())
	must(t, err)
	valid, err := token.Join(identity.Member{Name: "new"}, time.Now())
	must(t, err)
	old := l.nodeWith(Config{Identity: expired}, ip(1))
	fresh := l.nodeWith(Config{Identity: valid}, ip(2))
	impostor(t, old, "svc:old")
	l.add("svc:old", old.at())
	_, err = fresh.Dial("svc:old")
	sentence(t, err, ErrNotAuthorized, "expired")
	l.echo(fresh, "svc:new")
	c := l.dialUnchecked(old, "svc:new")
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	sentence(t, err, ErrNotAuthorized, "expired")
}

func TestWrongCluster(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server := l.node(1)
	l.echo(server, "svc:echo")
	stranger := l.nodeWith(Config{Identity: newCluster(t).join(t, "stranger")}, ip(2))
	_, err := stranger.Dial("svc:echo")
	sentence(t, err, ErrNotAuthorized, "cluster")
	if n := server.Stats().Connections; n != 0 {
		t.Errorf("the server has %d connections", n)
	}
}

// TestFlowIDGuessing: packets of every type to real and guessed flows, from the
// peer's address and from elsewhere, change nothing.
func TestFlowIDGuessing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	c := l.dial(client, "svc:echo")
	must(t, ask(c, "before"))
	where := c.RemoteAddr().(*Addr).Underlay
	elsewhere := netip.AddrPortFrom(ip(66), 6666)
	for i := range 300 {
		for ty := sal.Type(0); ty < 16; ty++ {
			for _, id := range []sal.FlowID{c.flowOf().Remote, c.flowOf().Local, sal.FlowID(binary.BigEndian.Uint32(noise(4)))} {
				pkt := sal.AppendShort(nil, ty, i&1 != 0, byte(i>>1&1), id, uint64(i))
				if !ty.Short() { // flags come before the flow
					pkt = binary.BigEndian.AppendUint32(append(pkt[:1], 0), uint32(id))
				}
				pkt = append(pkt, noise(i%100*4)...)
				l.net.Inject(elsewhere, server.at(), pkt)
				l.net.Inject(client.at(), server.at(), pkt)
				l.net.Inject(server.at(), client.at(), pkt)
			}
		}
	}
	must(t, ask(c, "after"))
	if now := c.RemoteAddr().(*Addr).Underlay; now != where {
		t.Errorf("the peer moved from %v to %v", where, now)
	}
	if a, b := client.Stats(), server.Stats(); a.Flows != 1 || b.Flows != 1 || a.Connections != 1 || b.Connections != 1 {
		t.Errorf("there are %+v and %+v", a, b)
	}
	must(t, exchange(c, 10_000))
}

// TestStatelessReset: a server that restarted has lost its connections. Their
// peers learn it from its first answer, and cannot be told by anyone else.
func TestStatelessReset(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.node(1)
	host := l.net.Host(ip(2))
	id := l.join(t, "server")
	server := l.nodeOn(host, Config{Identity: id}, ip(2))
	l.echo(server, "svc:echo")
	c := l.dial(client, "svc:echo")
	must(t, ask(c, "before"))

	dead := l.net.Path(ip(2), ip(1))
	dead.Set(simnet.Params{Blackhole: true}) // it crashes: no word of farewell
	must(t, server.Close())
	dead.Set(simnet.Params{})
	server = l.nodeOn(host, Config{Identity: id}, ip(2))

	before := client.Stats().UnknownFlow
	for range 20 {
		l.net.Inject(server.at(), client.at(), append(sal.AppendShort(nil, sal.TypeRST, false, 0, c.flowOf().Remote, 0), noise(16)...))
	}
	eventually(t, "the forgeries arrive", func() bool { return client.Stats().UnknownFlow >= before+20 })
	if client.Stats().Connections != 1 {
		t.Error("a forged token ended the connection")
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	c.Write([]byte("are you there?"))
	_, err := c.Read(make([]byte, 1))
	sentence(t, err, ErrReset, "no longer knows this connection", "restarted")
}

func TestVersionMismatch(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	t.Run("CriticalExtension", func(t *testing.T) {
		l.net.SetTap(func(p *simnet.Packet) bool {
			if syn, err := sal.ParseSYN(p.Data); err == nil {
				syn.Extensions = sal.Extensions{251, 1, 1} // odd: refuse it if you do not know it
				p.Data = syn.Append(nil)
			}
			return true
		})
		_, err := client.Dial("svc:echo")
		sentence(t, err, ErrRefused, "another version", "update the older")
	})
	t.Run("OtherWireVersion", func(t *testing.T) {
		before := server.Stats().Malformed
		for v := byte(0); v < 4; v++ {
			if v != sal.Version {
				pkt := noise(300)
				pkt[0] = pkt[0]&0x3f | v<<6
				l.net.Inject(client.at(), server.at(), pkt)
			}
		}
		eventually(t, "packets of other versions are counted", func() bool { return server.Stats().Malformed == before+3 })
	})
}

// TestOversizedExtensions: the prototype copied extensions without looking at
// their length. No such packet gets an answer or leaves anything behind.
func TestOversizedExtensions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	var answers atomic.Int32
	elsewhere := netip.AddrPortFrom(ip(66), 6666)
	l.net.SetTap(func(p *simnet.Packet) bool {
		if p.To == elsewhere {
			answers.Add(1)
		}
		return true
	})
	syn := sal.SYN{Flow: 9, HopLimit: 16, Service: sal.MustParseName("svc:echo").ServiceID(), Noise: noise(32)}
	bare := syn.Append(nil)[:syn1Len]
	var all [][]byte
	for _, ext := range [][]byte{
		{byte(sal.ExtCookie), 255},                                   // longer than the packet
		append([]byte{byte(sal.ExtCookie), 65}, make([]byte, 65)...), // longer than a cookie
		append([]byte{byte(sal.ExtSource), 5}, make([]byte, 5)...),   // no multiple of an address
		manyExtensions(sal.MaxExtensions + 1),
		manyExtensions(100),
	} {
		pkt := append(append([]byte(nil), bare...), ext...)
		if len(ext) != 2 {
			for len(pkt) < sal.MinSYN {
				n := min(255, max(sal.MinSYN-len(pkt)-2, 0))
				pkt = append(append(pkt, byte(sal.ExtPad), byte(n)), make([]byte, n)...)
			}
		} else {
			pkt = append(make([]byte, 0, 400), pkt...)
			pkt = append(pkt, make([]byte, 254)...)
		}
		all = append(all, pkt)
	}
	for _, pkt := range all {
		l.net.Inject(elsewhere, server.at(), pkt)
	}
	eventually(t, "all are counted as malformed", func() bool { return server.Stats().Malformed == uint64(len(all)) })
	if n, flows := answers.Load(), server.Stats().Flows; n != 0 || flows != 0 {
		t.Errorf("%d answers, %d flows", n, flows)
	}
	must(t, exchange(l.dial(client, "svc:echo"), 1000))
}

// syn1Len is a SYN without extensions.
const syn1Len = 4 + 4 + 4 + 32 + 32

// manyExtensions encodes n empty extensions of a type to be ignored.
func manyExtensions(n int) (b []byte) {
	for range n {
		b = append(b, 252, 0)
	}
	return b
}
