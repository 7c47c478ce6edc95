package underlay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// TestBurst: datagrams of many senders, which the kernel does not merge, all come,
// each with its sender, and the handler is told when there are no more at hand.
func TestBurst(t *testing.T) {
	const senders, each = 40, 10
	var mu sync.Mutex
	got := map[netip.AddrPort][]uint32{}
	total, several := 0, 0
	more := false
	hold := make(chan struct{})
	once := sync.OnceFunc(func() { <-hold }) // until the socket's queue is full
	s, err := (&UDP{}).Listen(netip.MustParseAddrPort("127.0.0.1:0"), func(b *Batch) {
		once()
		mu.Lock()
		defer mu.Unlock()
		for data := b.Data; len(data) > 0; data = data[min(b.Seg, len(data)):] {
			got[b.From] = append(got[b.From], binary.BigEndian.Uint32(data))
			total++
		}
		if more = b.More; more {
			several++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := map[netip.AddrPort]bool{}
	var conns []*net.UDPConn
	for range senders {
		c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.LocalAddr()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
		want[c.LocalAddr().(*net.UDPAddr).AddrPort()] = true
	}
	for n := range each {
		for i, c := range conns {
			b := binary.BigEndian.AppendUint32(nil, uint32(n))
			if i == n { // a long one in between, and an empty one
				b = append(b, make([]byte, 5000)...)
				c.Write(nil)
			}
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(hold)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		mu.Lock()
		n := total
		mu.Unlock()
		if n == senders*each || time.Now().After(end) {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if total != senders*each || len(got) != senders {
		t.Fatalf("%d datagrams of %d senders came, want %d of %d", total, len(got), senders*each, senders)
	}
	for from, list := range got {
		for i, n := range list {
			if !want[from] || int(n) != i {
				t.Fatalf("from %v came %v", from, list)
			}
		}
	}
	if more {
		t.Error("more was announced after the last")
	}
	if several < senders*each/2 {
		t.Errorf("only %d of %d were read with others", several, senders*each)
	}
}
