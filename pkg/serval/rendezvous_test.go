package serval

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// noNodes is a resolver without records of nodes: it knows services alone.
type noNodes struct{ *book }

func (b noNodes) Register(ctx context.Context, r resolver.Registration) (resolver.Lease, error) {
	if strings.HasPrefix(r.Service.Path(), "node/") {
		return nil, errors.New("no records of nodes here")
	}
	return b.book.Register(ctx, r)
}

// known waits until a node knows n rendezvous.
func known(t *testing.T, n *Node, want int) {
	t.Helper()
	eventually(t, "the node knows the rendezvous", func() bool {
		s := &n.finder.places
		s.refresh(n)
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.list) == want
	})
}

// TestRendezvousFromResolver: both ends move at once and find each other at a
// rendezvous that the resolver knew of before, which it no longer does then.
func TestRendezvousFromResolver(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	names := noNodes{l.book}
	third := l.nodeWith(Config{ServeRendezvous: true, Resolver: names}, ip(3))
	eventually(t, "the rendezvous is registered", func() bool {
		_, err := names.Resolve(t.Context(), rendezvousName)
		return err == nil
	})
	h1, h2 := l.net.Host(ip(1)), l.net.Host(ip(2))
	open := func(h underlay.Network) *Node {
		n, err := NewNode(Config{Identity: l.join(l, "node"), Resolver: names, network: h})
		must(l, err)
		l.Cleanup(func() { n.Close() })
		return n
	}
	client, server := open(h1), open(h2)
	a, b := l.pairOn(client, server)
	go echoOn(b)
	must(t, ask(a, "before"))
	known(t, client, 1)
	known(t, server, 1)
	l.book.mu.Lock()
	l.book.list = nil
	l.book.mu.Unlock()
	h1.Remove(ip(1))
	h2.Remove(ip(2))
	h1.Add(ip(101))
	h2.Add(ip(102))
	must(t, ask(a, "after"))
	third.meeting.mu.Lock()
	if len(third.meeting.rooms) != 1 {
		t.Errorf("there are %d rooms: not the rendezvous brought them together", len(third.meeting.rooms))
	}
	third.meeting.mu.Unlock()
}

func TestRendezvousNeedsTheRight(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.nodeWith(Config{ServeRendezvous: true, Identity: l.identityWith(identity.Rights{Serve: []string{"web"}})}, ip(1))
	l.echo(n, "svc:web")
	must(t, n.finder.serveRendezvous(t.Context(), n, n.registered()))
	if found, err := l.Resolve(t.Context(), rendezvousName); err == nil {
		t.Errorf("found %v", found)
	}
	allowed := l.nodeWith(Config{ServeRendezvous: true, Identity: l.identityWith(identity.Rights{Serve: []string{"serval/*"}})}, ip(2))
	eventually(t, "the other registers", func() bool {
		_, err := l.Resolve(t.Context(), rendezvousName)
		return err == nil
	})
	must(t, allowed.Close())
	if found, err := l.Resolve(t.Context(), rendezvousName); err == nil {
		t.Errorf("after its end it is still %v", found)
	}
}

// TestPlaces: whatever the order in which two nodes hear of rendezvous, they try
// the same ones, and in time all.
func TestPlaces(t *testing.T) {
	var found []resolver.Instance
	for i := range 20 {
		found = append(found, resolver.Instance{Node: identity.NodeID{byte(i)}, Addrs: []netip.AddrPort{
			netip.AddrPortFrom(broadcast, 1), netip.AddrPortFrom(ip(i), 0), netip.AddrPortFrom(ip(i), 7000)}})
	}
	one := places{list: inOrder(found)}
	slices.Reverse(found)
	two := places{list: inOrder(found)}
	seen, firsts := map[netip.AddrPort]bool{}, map[netip.AddrPort]bool{}
	for round := range 7 {
		for k := range byte(100) {
			a, b := one.choose([16]byte{k}, round), two.choose([16]byte{k}, round)
			if !slices.Equal(a, b) || len(a) != placesTried {
				t.Fatalf("round %d: %v and %v", round, a, b)
			}
			if firsts[a[0]] = true; k == 0 {
				seen[a[0]], seen[a[1]], seen[a[2]] = true, true, true
			}
		}
	}
	if len(seen) != 20 || len(firsts) < 15 {
		t.Errorf("%d of 20 places were tried, %d first by some name", len(seen), len(firsts))
	}
	if out := new(places).choose([16]byte{}, 3); len(out) > 0 {
		t.Errorf("found %v nowhere", out)
	}
}

// outlet is a socket that counts what is sent.
type outlet struct {
	underlay.Socket // nil: nothing else is used
	local           netip.AddrPort
	mu              sync.Mutex
	bytes           map[netip.AddrPort]int
}

func newOutlet() *outlet {
	return &outlet{local: netip.AddrPortFrom(ip(1), 7000), bytes: map[netip.AddrPort]int{}}
}

func (o *outlet) LocalAddr() netip.AddrPort { return o.local }
func (o *outlet) Send(b []byte, _ int, to netip.AddrPort) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes[to] += len(b)
	return nil
}

// meetPacket is a MEET.
func meetPacket(name [16]byte, pkt []byte) []byte {
	d := sal.Datagram{Source: 1, Service: rendezvousID, Noise: append(append([]byte{kindMeet}, name[:]...), pkt...)}
	return d.Append(nil)
}

// metPacket is a MET.
func metPacket(from netip.AddrPort, pkt []byte) []byte {
	body := append(make([]byte, 17), byte(from.Addr().BitLen()/8))
	body[0] = kindMet
	body = append(body, from.Addr().AsSlice()...)
	body = binary.BigEndian.AppendUint16(body, from.Port())
	d := sal.Datagram{Source: 1, Service: rendezvousID, Noise: append(body, pkt...)}
	return d.Append(nil)
}

// TestRendezvousAmplification: what a rendezvous sends to an address is at most
// three times what came from it, or from the other who uses the name.
func TestRendezvousAmplification(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.nodeWith(Config{ServeRendezvous: true}, ip(1))
	mallory, victim := netip.AddrPortFrom(ip(66), 6), netip.AddrPortFrom(ip(9), 9)
	out := newOutlet()
	send := func(from netip.AddrPort, pkt []byte) int {
		n.receive(&underlay.Batch{Data: slices.Clone(pkt), Seg: len(pkt), From: from, Socket: out})
		return len(pkt)
	}
	fromVictim := 0
	send(mallory, meetPacket([16]byte{1}, noise(maxMeetPacket)))
	for range 100 {
		fromVictim += send(victim, meetPacket([16]byte{1}, nil))
		fromVictim += send(victim, meetPacket([16]byte{1}, noise(30)))
	}
	if got := out.bytes[victim]; got > sal.AmplificationLimit*fromVictim {
		t.Errorf("%d bytes went to a victim in whose name %d came", got, fromVictim)
	}
	before, fromMallory := out.bytes[victim], 0
	for range 100 {
		fromMallory += send(mallory, meetPacket([16]byte{1}, noise(20)))
	}
	if got := out.bytes[victim] - before; got > sal.AmplificationLimit*fromMallory {
		t.Errorf("%d bytes went to a victim for %d from another", got, fromMallory)
	}
	if out.bytes[victim] == 0 {
		t.Error("nothing was passed on at all")
	}
}

// TestMeetFlood: names without end from addresses without end. What the
// rendezvous remembers, and what it sends, is bounded.
func TestMeetFlood(t *testing.T) {
	l := newLab(t)
	n := l.nodeWith(Config{ServeRendezvous: true}, ip(1))
	out := newOutlet()
	n.meeting.limit.since = time.Now().Add(time.Hour) // its second does not end
	send := func(i uint64) {
		var name [16]byte
		binary.BigEndian.PutUint64(name[:], i)
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte(noise(4))), 1024)
		n.meeting.meet(&underlay.Batch{From: from, Socket: out}, 1, name, make([]byte, 200))
	}
	for i := range uint64(meetsPerSecond + 500) {
		send(i)
	}
	if got := len(n.meeting.rooms); got != meetsPerSecond {
		t.Errorf("%d rooms in a second", got)
	}
	n.meeting.limit.used = -1 << 30 // patience
	for i := range uint64(2 * maxMeetings) {
		send(i + 1<<32)
	}
	if got := len(n.meeting.rooms); got > maxMeetings {
		t.Errorf("%d rooms", got)
	}
	n.meeting.meet(&underlay.Batch{From: netip.AddrPortFrom(ip(2), 2), Socket: out}, 1, [16]byte{9}, make([]byte, maxMeetPacket+1))
	if n.meeting.rooms[[16]byte{9}] != nil {
		t.Error("a packet longer than any that is needed is kept")
	}
	// and the next two to come do meet
	clear(out.bytes)
	for i := range byte(2) {
		n.meeting.meet(&underlay.Batch{From: netip.AddrPortFrom(ip(2), uint16(i+1)), Socket: out}, 1, [16]byte{8}, make([]byte, 200))
	}
	if len(out.bytes) != 2 {
		t.Errorf("two who meet after the flood: %v", out.bytes)
	}
}

// TestMeetingNeedsToBeServed: other nodes keep nothing for strangers.
func TestMeetingNeedsToBeServed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n, out := l.node(1), newOutlet()
	for i := range byte(100) {
		n.datagram(&underlay.Batch{From: netip.AddrPortFrom(ip(2), uint16(i+1)), Socket: out}, meetPacket([16]byte{i / 2}, noise(100)))
	}
	if len(n.meeting.rooms)+len(out.bytes) > 0 {
		t.Errorf("%d rooms, sent to %v", len(n.meeting.rooms), out.bytes)
	}
}
