package serval

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// shuffled is a book whose instances are equal, and listed in any order.
type shuffled struct{ *book }

func (s shuffled) Resolve(ctx context.Context, name sal.Name) ([]resolver.Instance, error) {
	found, err := s.book.Resolve(ctx, name)
	rand.Shuffle(len(found), func(i, k int) { found[i], found[k] = found[k], found[i] })
	return found, err
}

// echoes is a client, and n instances of svc:echo, on hosts 2 and up, that
// answer with what they were sent.
func (l *lab) echoes(n int) (client *Node, servers []*Node) {
	l.Helper()
	l.flat = true
	client = l.nodeWith(Config{Resolver: shuffled{l.book}, TryNext: 100 * time.Millisecond}, ip(1))
	for i := range n {
		servers = append(servers, l.node(2+i))
		p, err := servers[i].ListenPacket("svc:echo")
		must(l, err)
		go echoPackets(p)
	}
	return client, servers
}

// socket returns a PacketConn that serves nothing, until the test ends.
func (l *lab) socket(n *Node) *PacketConn {
	l.Helper()
	p, err := n.DialPacket()
	must(l, err)
	l.Cleanup(func() { p.Close() })
	p.SetReadDeadline(time.Now().Add(30 * time.Second))
	return p
}

// tell sends a datagram to a service and returns who answered.
func tell(p *PacketConn, to *Addr, text string) (identity.NodeID, error) {
	if _, err := p.WriteTo([]byte(text), to); err != nil {
		return identity.NodeID{}, err
	}
	buf := make([]byte, 100)
	n, from, err := p.ReadFrom(buf)
	if err == nil && string(buf[:n]) != text {
		err = fmt.Errorf("sent %q, %q came back", text, buf[:n])
	}
	if err != nil {
		return identity.NodeID{}, err
	}
	return from.(*Addr).Instance, nil
}

var toEcho = &Addr{Service: "svc:echo"}

// TestEachDatagramIsBoundLate: the instance is chosen anew for each datagram,
// over connections that stay.
func TestEachDatagramIsBoundLate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, servers := l.echoes(3)
	p := l.socket(client)
	answers := make(map[identity.NodeID]int)
	for i := range 200 {
		who, err := tell(p, toEcho, fmt.Sprint("message ", i))
		must(t, err)
		answers[who]++
	}
	for _, s := range servers {
		if got := answers[s.ID()]; got < 10 {
			t.Errorf("an instance of three answered %d of 200 datagrams", got)
		}
		if got := s.Stats().Connections; got != 1 {
			t.Errorf("an instance has %d connections", got)
		}
	}
	// One is gone: nobody notices. A new one takes part.
	must(t, servers[0].Close())
	more := l.node(9)
	q, err := more.ListenPacket("svc:echo")
	must(t, err)
	go echoPackets(q)
	clear(answers)
	time.Sleep(2 * drawsFor)
	for i := range 200 {
		who, err := tell(p, toEcho, fmt.Sprint("again ", i))
		must(t, err)
		answers[who]++
	}
	if answers[servers[0].ID()] > 0 || answers[more.ID()] < 10 {
		t.Errorf("%v answered, without %v, with %v", answers, servers[0].ID(), more.ID())
	}
}

// TestSilentInstanceIsLeft: datagrams to an instance that vanishes without a word
// get lost for a moment only.
func TestSilentInstanceIsLeft(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, _ := l.echoes(2)
	p := l.socket(client)
	for i := range 20 { // to both
		_, err := tell(p, toEcho, fmt.Sprint(i))
		must(t, err)
	}
	l.net.SetTap(func(pkt *simnet.Packet) bool { return pkt.To.Addr() != ip(2) && pkt.From.Addr() != ip(2) })
	buf := make([]byte, 100)
	row := 0 // answers in a row
	for i := 0; row < 50; i++ {
		if i == 2000 {
			t.Fatal("datagrams still go to an instance that has vanished")
		}
		_, err := p.WriteTo([]byte("x"), toEcho)
		must(t, err)
		p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, _, err := p.ReadFrom(buf); err == nil {
			row++
		} else {
			row = 0
		}
	}
}

// TestInstanceStandsIn: the instance that answers in another's place is written to
// over one connection, not over one for each datagram.
func TestInstanceStandsIn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, servers := l.echoes(1)
	p := l.socket(client)
	gone := instanceKey{service: sal.MustParseName("svc:echo"), node: l.join(l, "gone").Node()}
	list, err := client.candidates(t.Context(), gone.service, choice{})
	must(t, err)
	w := p.want
	w.ask = list
	for i := range 3 {
		s, err := p.instances.get(gone, w)
		must(t, err)
		<-s.ready
		must(t, s.err)
		if s.link.peer.Node != servers[0].ID() {
			t.Fatal("another one answered")
		}
		if i == 1 { // it may have come back
			s.until = time.Now().Add(-time.Second)
		}
	}
	if n := len(p.instances.all); n != 2 {
		t.Errorf("%d instances are known", n)
	}
	eventually(t, "one connection is left", func() bool { return servers[0].Stats().Connections == 1 })
	w.fixed = true // nobody else will do
	s, err := p.instances.get(gone, w)
	must(t, err)
	if _, err := p.connected(t.Context(), s, gone, w); !errors.Is(err, ErrNoService) {
		t.Errorf("another stood in for an instance that was to be reached: %v", err)
	}
	w.fixed = false
	s, err = p.instances.get(gone, w)
	must(t, err)
	<-s.ready
	who, err := tell(p, toEcho, "hello")
	if err != nil || who != servers[0].ID() {
		t.Errorf("%v answered, %v", who, err)
	}
	p.instances.all[gone].link.abort(flowset.ResetAborted, "for the test")
	eventually(t, "it is forgotten", func() bool {
		p.instances.mu.Lock()
		defer p.instances.mu.Unlock()
		return p.instances.all[instanceKey{service: gone.service, node: servers[0].ID()}] == nil
	})
}

// TestWriteToInstance: an address with an instance is that one, and so is the
// address that Bind returns or an answer came from, also after its connection
// has ended.
func TestWriteToInstance(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, servers := l.echoes(3)
	p := l.socket(client)
	for _, s := range servers {
		for range 10 {
			who, err := tell(p, &Addr{Service: "svc:echo", Instance: s.ID()}, "hello")
			must(t, err)
			if who != s.ID() {
				t.Fatalf("%v answered for %v", who, s.ID())
			}
		}
	}
	bound, err := p.Bind(t.Context(), "echo.svc.serval:53")
	must(t, err)
	for i := range 20 {
		if i == 10 {
			bound.link.abort(flowset.ResetAborted, "for the test")
		}
		who, err := tell(p, bound, "hello")
		must(t, err)
		if who != bound.Instance {
			t.Fatalf("%v answered for %v", who, bound)
		}
	}
	d := Dialer{Node: client, Instance: servers[2].ID()}
	q, err := d.DialPacket()
	must(t, err)
	defer q.Close()
	q.SetReadDeadline(time.Now().Add(30 * time.Second))
	for range 10 {
		if who, err := tell(q, toEcho, "hello"); err != nil || who != servers[2].ID() {
			t.Fatalf("%v answered for %v: %v", who, servers[2].ID(), err)
		}
	}
	_, err = p.WriteTo([]byte("x"), &Addr{Service: "svc:echo", Instance: client.ID()})
	sentence(t, err, ErrNoService, client.ID().Short(), "svc:echo")
}

// TestWriteAll: one datagram, to each instance; those that do not answer are an
// error and keep none of the others waiting.
func TestWriteAll(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.flat = true
	client := l.node(1)
	var got sync.Map
	for i := range 4 {
		s, err := l.node(2 + i).ListenPacket("svc:news")
		must(t, err)
		go func() {
			buf := make([]byte, 10)
			for {
				n, _, err := s.ReadFrom(buf)
				if err != nil {
					return
				}
				had, _ := got.LoadOrStore(i, 0)
				got.Store(i, had.(int)+n)
			}
		}()
	}
	p := l.socket(client)
	count := func(want int) func() bool {
		return func() bool {
			same := true
			for i := range 4 {
				n, _ := got.Load(i)
				same = same && n == want
			}
			return same
		}
	}
	for range 2 { // the second time over connections that are there
		n, err := p.WriteAll(t.Context(), "svc:news", []byte("!"))
		if n != 4 || err != nil {
			t.Fatalf("left for %d of 4 instances, %v", n, err)
		}
	}
	eventually(t, "each has both", count(2))
	l.book.add("svc:news", netip.AddrPortFrom(ip(77), 7000)) // answers nobody
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	n, err := p.WriteAll(ctx, "svc:news", []byte("!"))
	if n != 4 || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("left for %d of 4 instances that answer, %v", n, err)
	}
	sentence(t, err, context.DeadlineExceeded, "1 of 5", "svc:news")
	eventually(t, "each has three", count(3))
	_, err = p.WriteAll(t.Context(), "svc:nobody", []byte("!"))
	sentence(t, err, ErrNoService, "svc:nobody")
}

// TestUnusedInstanceIsForgotten: the connection to an instance ends when it was
// unused for some time, and comes back when it is needed.
func TestUnusedInstanceIsForgotten(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, servers := l.echoes(1)
	p := l.socket(client)
	const idle = 100 * time.Millisecond
	p.instances.idle = idle
	for range 3 {
		var link *link
		last := time.Now()
		for i := range 10 { // uses it for longer than that
			n, err := p.WriteTo([]byte("hello"), toEcho)
			must(t, err)
			_, from, err := p.ReadFrom(make([]byte, n))
			must(t, err)
			its := from.(*Addr).link
			if i > 0 && its != link && time.Since(last) < idle {
				t.Error("a connection ended while it was in use")
			}
			link, last = its, time.Now()
			time.Sleep(idle / 5)
		}
		eventually(t, "both ends forget it", func() bool {
			return servers[0].Stats().Connections == 0 && client.Stats().Connections == 0
		})
	}
}

// TestInstancesAreBounded: the instance unused for longest makes room.
func TestInstancesAreBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, servers := l.echoes(3)
	p := l.socket(client)
	p.instances.most = 2
	for _, i := range []int{0, 1, 2, 1} {
		who, err := tell(p, &Addr{Service: "svc:echo", Instance: servers[i].ID()}, "hello")
		must(t, err)
		if who != servers[i].ID() {
			t.Fatal("another one answered")
		}
		time.Sleep(2 * time.Millisecond)
	}
	eventually(t, "the first is forgotten", func() bool {
		return servers[0].Stats().Connections == 0 && servers[1].Stats().Connections == 1 && servers[2].Stats().Connections == 1
	})
	if _, err := p.WriteAll(t.Context(), "svc:echo", nil); err == nil {
		t.Error("a datagram to all left for more instances than fit")
	}
}

// TestDialPacket: a PacketConn without a service writes, is answered and cannot
// be dialled. It ends with its node.
func TestDialPacket(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, _ := l.echoes(1)
	p := l.socket(client)
	if a := p.LocalAddr().(*Addr); a.Service != "" || a.Instance != client.ID() || p.Listener() != nil {
		t.Errorf("it is %v", a)
	}
	_, err := tell(p, toEcho, "hello")
	must(t, err)
	if n := client.Stats().Listeners; n != 0 {
		t.Errorf("it made %d listeners", n)
	}
	ended := make(chan error)
	go func() {
		_, _, err := p.ReadFrom(nil)
		ended <- err
	}()
	must(t, client.Close())
	sentence(t, <-ended, ErrClosed, "node was closed")
	if _, err := p.WriteTo(nil, toEcho); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing after the node's end: %v", err)
	}
	_, err = client.DialPacket()
	sentence(t, err, ErrClosed)
}

// TestFirstWriteWaits: a write waits for the connection no longer than its
// deadline, nor than the PacketConn lives.
func TestFirstWriteWaits(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.book.add("svc:silent", netip.AddrPortFrom(ip(77), 7000))
	p := l.socket(l.node(1))
	p.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := p.WriteTo(nil, &Addr{Service: "svc:silent"}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write ended with %v", err)
	}
	p.SetWriteDeadline(time.Time{})
	ended := make(chan error)
	go func() {
		_, err := p.WriteTo(nil, &Addr{Service: "svc:silent"})
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond)
	must(t, p.Close())
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write ended with %v", err)
	}
}

// TestInboxIsShared: one correspondent cannot take the room of others, and what
// does not fit is counted.
func TestInboxIsShared(t *testing.T) {
	t.Parallel()
	a, b := new(link), new(link)
	in := newSharedInbox()
	in.resize(1) // the least there is
	big := slices.Repeat([][]byte{make([]byte, 10_000)}, 100)
	kept := len(big) - in.put(a, big)
	if kept == 0 || kept*(10_000+messageCost) > in.limit/4 {
		t.Errorf("%d datagrams of one correspondent wait, in %d bytes", kept, in.limit)
	}
	if in.put(b, big[:1]) != 0 {
		t.Error("another correspondent finds no room")
	}
	if in.put(a, make([][]byte, 1)) != 0 {
		t.Error("there is no room for a small one")
	}
	for i := range kept + 2 {
		m, err := in.get()
		if want := a; err != nil || i != kept && m.from != want {
			t.Fatalf("datagram %d is from another: %v", i, err)
		}
	}
	if in.bytes != 0 || len(in.of) != 0 {
		t.Errorf("an empty inbox has %d bytes, of %d", in.bytes, len(in.of))
	}
	if dropped := in.put(a, slices.Repeat(big, 10)); dropped == 0 {
		t.Error("everything fits")
	}
	in.close(ErrClosed)
	n := 0
	for ; ; n++ {
		if _, err := in.get(); err != nil {
			break
		}
	}
	if n != kept || in.put(a, big) != len(big) {
		t.Errorf("%d of %d datagrams are left when it is closed, and more fit", n, kept)
	}
}

// TestInboxReaders: several readers share what comes, and all of it is read.
func TestInboxReaders(t *testing.T) {
	t.Parallel()
	in := newInbox()
	const n = 10_000
	var read sync.WaitGroup
	var mu sync.Mutex
	got := make(map[string]bool)
	for range 4 {
		read.Go(func() {
			for {
				m, err := in.get()
				if err != nil {
					return
				}
				mu.Lock()
				got[string(m.b)] = true
				mu.Unlock()
			}
		})
	}
	for i := range n {
		for in.put(new(link), [][]byte{[]byte(fmt.Sprint(i))}) != 0 {
			time.Sleep(time.Millisecond)
		}
	}
	in.close(ErrClosed)
	read.Wait()
	if len(got) != n {
		t.Errorf("%d of %d datagrams were read", len(got), n)
	}
}
