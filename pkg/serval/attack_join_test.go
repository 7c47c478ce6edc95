package serval

import (
	"io"
	"net/netip"
	"sync"
	"testing"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/sal"
)

// joinFor is a JOIN that the peer of c would take, but for what change does.
func joinFor(c *Conn, index uint8, source sal.FlowID, change func(*sal.Join)) []byte {
	p := sal.Join{Flow: c.flowOf().Remote, Source: source, Index: index, Nonce: nonce16()}
	c.link.joiner.Sign(&p)
	if change != nil {
		change(&p)
	}
	return p.Append(nil)
}

// TestForgedJoin: nobody but the dialler adds flows, and he no more than allowed.
func TestForgedJoin(t *testing.T) {
	t.Parallel()
	w := newTwo(t, single(), Config{MaxFlows: 3})
	a, b := w.echoPair()
	var s spy
	s.watch(w.net, nil)
	to := remoteOf(a, 0)
	count := func() (flows, entries int) { return len(b.Flows()), w.server.Stats().Flows }

	before := w.server.Stats().Unauthentic
	forgeries := 0
	for i := range byte(20) {
		for _, change := range []func(*sal.Join){
			func(p *sal.Join) { p.MAC[i%16] ^= 1 << (i % 8) },
			func(p *sal.Join) { p.Source++ },
			func(p *sal.Join) { p.Index++ },
			func(p *sal.Join) { p.Nonce[i%16] ^= 1 << (i % 8) },
			func(p *sal.Join) { p.Ack = true },
			func(p *sal.Join) { p.MAC = [16]byte{} },
		} {
			s.send(w.net, to, joinFor(a, 1, 77, change))
			forgeries++
		}
	}
	eventually(t, "the forgeries are counted", func() bool { return w.server.Stats().Unauthentic == before+uint64(forgeries) })
	if flows, entries := count(); flows != 1 || entries != 1 {
		t.Fatalf("forged JOINs made it %d flows, %d in the table", flows, entries)
	}

	// Genuine MACs, but out of range, out of order or used.
	for _, index := range []uint8{0, 2, 3, 15, 16, 255} {
		s.send(w.net, to, joinFor(a, index, 77, nil))
	}
	must(t, ask(a, "in between"))
	if flows, _ := count(); flows != 1 {
		t.Fatalf("JOINs out of order made it %d flows", flows)
	}
	// Too many, by a dialler who does not keep to the limit: each is asked whether
	// it is there, by the limits of an address that has proven nothing.
	for i := range 100 {
		s.send(w.net, to, joinFor(a, uint8(1+i%20), sal.FlowID(1000+i), nil))
	}
	must(t, ask(a, "after that"))
	if flows, entries := count(); flows != 3 || entries != 3 {
		t.Errorf("JOINs without end made it %d flows, %d in the table; at most 3 are allowed", flows, entries)
	}
	for _, f := range b.Flows()[1:] {
		if f.State != "pending" {
			t.Errorf("flow %d is %s, and nobody has proven to be there", f.Index, f.State)
		}
	}
	// The acceptor may not add flows.
	n := w.client.Stats().Unauthentic
	w.net.Inject(to, remoteOf(b, 0), joinFor(b, 1, 78, nil))
	eventually(t, "the dialler takes no JOIN", func() bool { return w.client.Stats().Unauthentic == n+1 && len(a.Flows()) == 1 })
	s.verdict(t)
	must(t, a.Close())
	must(t, b.Close())
	eventually(t, "nothing is left", func() bool { return w.server.Stats().Flows == 0 })
}

// TestForgedJoinAck: the attacker answers JOINs before the acceptor does, and
// repeats JOINs and JOINACKs later from other addresses.
func TestForgedJoinAck(t *testing.T) {
	t.Parallel()
	w := newTwo(t, Config{}, Config{})
	var s spy
	joins, forged := 0, 0
	s.watch(w.net, func(p *simnet.Packet) bool {
		switch typeOf(p.Data) {
		case sal.TypeJoin:
			joins++
			s.keep(p)
			j, err := sal.ParseJoin(p.Data)
			if err != nil {
				return true
			}
			for _, ack := range []sal.Join{
				{Ack: true, Flow: j.Source, Source: 99, Index: j.Index, Nonce: nonce16()},
				{Ack: true, Flow: j.Source, Source: 99, Index: j.Index, Nonce: j.Nonce, MAC: j.MAC},
				{Flow: j.Source, Source: j.Source, Index: j.Index, Nonce: j.Nonce, MAC: j.MAC},
			} {
				w.net.Inject(p.To, p.From, ack.Append(nil))
				forged++
			}
		case sal.TypeJoinAck:
			s.keep(p)
		}
		return true
	})
	a, b := w.pairOn(w.client, w.server)
	bulk(t, a, b, size(8<<20), func() { waitFlows(t, a, 2); waitFlows(t, b, 2) })
	eventually(t, "all forgeries are noticed", func() bool {
		s.mu.Lock()
		sent := forged
		s.mu.Unlock()
		return sent > 0 && w.client.Stats().Unauthentic >= uint64(sent)
	})
	where := [2]netip.AddrPort{remoteOf(b, 0), remoteOf(b, 1)}
	entries := [2]int{w.client.Stats().Flows, w.server.Stats().Flows}
	s.mu.Lock()
	for range 20 {
		for _, k := range s.kept {
			s.send(w.net, k.to, k.pkt)
			w.net.Inject(k.from, k.to, k.pkt)
		}
	}
	s.mu.Unlock()
	go echoOn(a)
	must(t, exchangeBack(b))
	if now := [2]int{w.client.Stats().Flows, w.server.Stats().Flows}; now != entries {
		t.Errorf("after the replays there are %v flows, were %v", now, entries)
	}
	if now := [2]netip.AddrPort{remoteOf(b, 0), remoteOf(b, 1)}; now != where {
		t.Errorf("the flows went to %v, now to %v", where, now)
	}
	s.verdict(t)
}

// exchangeBack asks over the direction that bulk has left open.
func exchangeBack(c *Conn) error {
	_, err := c.Write([]byte("still here"))
	return err
}

// TestJoinWhoseAnswersAreLost: the peer has taken the flow, but on that pair of
// addresses its answers get lost. The next pair may have it.
func TestJoinWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	w := newTwo(t, Config{}, Config{})
	var mu sync.Mutex
	acks := 0
	w.net.SetTap(func(p *simnet.Packet) bool {
		if typeOf(p.Data) != sal.TypeJoinAck {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		acks++
		return acks > joinCopies
	})
	a, b := w.pairOn(w.client, w.server)
	go io.Copy(io.Discard, b)
	a.Write(make([]byte, 2*bulkJoin))
	for _, c := range []*Conn{a, b} {
		waitFlows(t, c, 2)
	}
}
