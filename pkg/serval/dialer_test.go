package serval

import (
	"fmt"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
)

// TestDialerOptions: what makes no sense is refused, with the field's name.
func TestDialerOptions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.node(1)
	for _, tc := range []struct {
		d    *Dialer
		word string
	}{
		{&Dialer{Node: client, Balance: 77}, "Dialer.Balance is balance(77)"},
		{&Dialer{Node: client, Policy: Policy{Mode: 77}}, "mode"},
	} {
		_, err := tc.d.DialContext(t.Context(), "", "svc:web")
		op, ok := err.(*OpError)
		if !ok {
			t.Fatalf("error %v", err)
		}
		sentence(t, err, op.Err, tc.word)
		if _, err := tc.d.DialPacket(); err == nil {
			t.Errorf("%q does not hold for datagrams", tc.word)
		}
	}
}

// TestDialersDatagrams: the options hold for each datagram.
func TestDialersDatagrams(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, servers := l.echoes(3)
	for i := range 5 {
		key := fmt.Sprint("key ", i)
		p, err := (&Dialer{Node: client, Key: key}).DialPacket()
		must(t, err)
		p.SetReadDeadline(time.Now().Add(30 * time.Second))
		owner := reached(t, func() (*Conn, error) {
			return (&Dialer{Node: client, Key: key}).DialConn(t.Context(), "udp", "svc:echo")
		})
		for range 5 {
			if got, err := tell(p, toEcho, "hello"); err != nil || got != owner {
				t.Errorf("a datagram for the key of %v reached %v, %v", owner, got, err)
			}
		}
		must(t, p.Close())
	}
	// By load: the book says that two are loaded.
	for _, n := range servers[1:] {
		l.edit(n.ID(), func(in *resolver.Instance) { in.Load = .9 })
	}
	p, err := (&Dialer{Node: client, Balance: resolver.BalanceLeastLoad}).DialPacket()
	must(t, err)
	defer p.Close()
	p.SetReadDeadline(time.Now().Add(30 * time.Second))
	got := make(map[identity.NodeID]int)
	for range 60 {
		who, err := tell(p, toEcho, "hello")
		must(t, err)
		got[who]++
	}
	if n := got[servers[0].ID()]; n < 25 { // it is in two of three pairs
		t.Errorf("the least loaded of three got %d of 60 datagrams", n)
	}
}

// TestSilentInstanceIsBack: datagrams go again to an instance that was silent for
// a while, over the connection that there was.
func TestSilentInstanceIsBack(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, servers := l.echoes(2)
	client.health.addrs.First = 100 * time.Millisecond
	at := servers[0].at()
	p := l.socket(client)
	for _, n := range servers {
		_, err := tell(p, &Addr{Service: "svc:echo", Instance: n.ID()}, "hello")
		must(t, err)
	}
	write := func() {
		_, err := p.WriteTo([]byte("x"), toEcho)
		must(t, err)
		time.Sleep(time.Millisecond)
	}
	standing := func() resolver.Standing {
		s, _ := client.health.addrs.Standing(at, time.Now())
		return s
	}
	l.net.SetTap(func(pkt *simnet.Packet) bool { return pkt.To != at && pkt.From != at })
	eventually(t, "it is ejected", func() bool { write(); return standing() == resolver.Ejected })
	l.net.SetTap(nil)
	eventually(t, "it is as good as the other", func() bool { write(); return standing() == resolver.Well })
	if n := servers[0].Stats().Connections; n != 1 {
		t.Errorf("it has %d connections", n)
	}
}
