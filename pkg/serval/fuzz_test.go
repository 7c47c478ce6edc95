package serval

import (
	"net/netip"
	"testing"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// FuzzPathPackets hands arbitrary bytes, as they are and as the body of what they
// might be, to all that takes unsealed packets about paths, on a node with a
// connection. Nothing panics, and nothing is remembered but rooms of the
// rendezvous, of which there is a limited number.
func FuzzPathPackets(f *testing.F) {
	l := newLab(f)
	client := l.node(1)
	server := l.nodeWith(Config{ServeRendezvous: true}, ip(2))
	a, b := l.pairOn(client, server)
	go echoOn(b)
	must(f, ask(a, "hello"))
	genuine := sal.Join{Flow: a.flowOf().Remote, Source: 5, Index: 9}
	a.link.joiner.Sign(&genuine)
	name := a.link.joiner.Rendezvous()
	for _, seed := range [][]byte{nil, genuine.Append(nil), meetPacket(name, noise(30)), metPacket(netip.AddrPortFrom(ip(1), 7000), noise(40)),
		metPacket(netip.MustParseAddrPort("[ff02::1]:0"), nil), {4}, {16, 1, 2}, append([]byte{4, 10, 0, 0, 1, 1, 1}, noise(20)...)} {
		f.Add(seed)
	}
	out := newOutlet()
	out.local = server.at()
	f.Fuzz(func(t *testing.T, data []byte) {
		from := netip.AddrPortFrom(ip(66), 6666)
		for _, pkt := range [][]byte{
			data,
			append(meetPacket(name, nil), data...),
			append(metPacket(from, nil), data...),
			append((&sal.Datagram{Source: 1, Service: rendezvousID}).Append(nil), data...),
			append((&sal.Join{Flow: a.flowOf().Remote, Source: 7, Index: 1}).Append(nil), data...),
			append((&sal.Join{Ack: true, Flow: a.flowOf().Remote, Source: 7, Index: 1}).Append(nil), data...),
		} {
			if len(pkt) == 0 {
				continue
			}
			batch := &underlay.Batch{Data: append([]byte(nil), pkt...), Seg: len(pkt), From: from, Socket: out}
			server.datagram(batch, pkt)
			b.link.joinRequest(pkt, from, out)
			b.link.joinAck(pkt, from)
			server.met(batch, name, pkt)
			server.meeting.meet(batch, 1, name, pkt)
		}
		server.meeting.mu.Lock()
		rooms := len(server.meeting.rooms)
		server.meeting.mu.Unlock()
		if s := server.Stats(); s.Flows != 1 || s.Connections != 1 || len(b.Flows()) != 1 || rooms > maxMeetings {
			t.Fatalf("left behind: %d flows, %d connections, %d rooms", s.Flows, s.Connections, rooms)
		}
		if remoteOf(b, 0) != client.at() {
			t.Fatalf("the peer is taken to be at %v", remoteOf(b, 0))
		}
		server.pairs.mu.Lock()
		defer server.pairs.mu.Unlock()
		if len(server.pairs.m) != 1 {
			t.Fatalf("%d pairs", len(server.pairs.m))
		}
		clear(out.bytes)
	})
}
