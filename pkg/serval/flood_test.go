package serval

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/sal"
)

// synFor is a SYN that nobody will complete.
func synFor(service string) []byte {
	flow := sal.FlowID(binary.BigEndian.Uint32(noise(4)) | 1)
	syn := sal.SYN{Flow: flow, HopLimit: 16, Service: sal.MustParseName(service).ServiceID(), Noise: noise(32)}
	return syn.Append(nil)
}

// TestHalfOpenExhaustion floods a server with SYNs from many addresses. What it
// remembers stays bounded, connections go on, and a newcomer gets in by
// returning a cookie.
func TestHalfOpenExhaustion(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	old := l.dial(client, "svc:echo")
	must(t, ask(old, "before"))
	var seen counter
	l.net.SetTap(func(p *simnet.Packet) bool {
		if p.To == client.at() {
			seen.count(typeOf(p.Data))
		}
		return true
	})

	stop := make(chan struct{})
	var flood sync.WaitGroup
	var sent atomic.Int64
	flood.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			for range 50 {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte(noise(4))), uint16(1024+sent.Add(1)%60000))
				l.net.Inject(from, server.at(), synFor("svc:echo"))
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
	const threshold = 256 // handshake.Config.CookieThreshold's default
	eventually(t, "the server asks for cookies", func() bool { return server.Stats().Flows > threshold*9/10 })
	heap := heapInUse()
	for i := 0; i < 5 || sent.Load() < 20_000; i++ {
		must(t, ask(old, "during"))
		c := l.dial(client, "svc:echo")
		if err := ask(c, "a newcomer"); err != nil {
			t.Errorf("newcomer %d: %v", i, err)
		}
		must(t, c.Close())
		// Connections that have ended linger for a while; they are not half open.
		if s := server.Stats(); s.Flows-s.Connections > threshold+20 {
			n := s.Flows - s.Connections
			t.Errorf("the server remembers %d half-open connections", n)
		}
	}
	grown := int(heapInUse()) - int(heap)
	close(stop)
	flood.Wait()
	t.Logf("%d SYNs, %d cookies to the newcomers, heap grew by %d KiB", sent.Load(), seen.get(sal.TypeCookie), grown>>10)
	if seen.get(sal.TypeCookie) == 0 {
		t.Error("the newcomers were not asked for a cookie")
	}
	if grown > 32<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	must(t, exchange(old, 10_000))
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAmplification: whoever forges the address of a victim gets no more than
// three bytes sent there for each of his own, whatever he sends.
func TestAmplification(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server := l.node(2)
	l.echo(server, "svc:echo")
	victim := func(i int) netip.AddrPort { return netip.AddrPortFrom(ip(100+i), 4444) }
	var mu sync.Mutex
	got := make(map[netip.AddrPort]int)
	l.net.SetTap(func(p *simnet.Packet) bool {
		mu.Lock()
		defer mu.Unlock()
		got[p.To] += len(p.Data)
		return true
	})
	client, err := handshake.NewInitiator(handshake.Config{Identity: l.join(t, "mallory")}, sal.MustParseName("svc:echo"), 5, handshake.Params{})
	must(t, err)
	short := synFor("svc:echo")
	cases := []struct {
		name string
		pkts [][]byte
	}{
		{"short SYN", [][]byte{short}},
		{"SYN three times", [][]byte{short, short, short}},
		{"own SYN", [][]byte{client.SYN()}},
		{"unknown service", [][]byte{synFor("svc:nothing")}},
		{"unknown flow", [][]byte{append(sal.AppendData(nil, sal.TypeData, false, 0, 77, 1, 0), noise(30)...)}},
		{"short unknown flow", [][]byte{append(sal.AppendShort(nil, sal.TypeAck, false, 0, 77, 1), noise(16)...)}},
		{"reset of an unknown flow", [][]byte{append(sal.AppendShort(nil, sal.TypeRST, false, 0, 77, 1), noise(60)...)}},
		{"OPEN", [][]byte{(&sal.Open{Flow: 77, Noise: noise(300)}).Append(nil)}},
	}
	for i, c := range cases {
		for _, pkt := range c.pkts {
			l.net.Inject(victim(i), server.at(), pkt)
		}
	}
	eventually(t, "a SYN is remembered", func() bool { return server.Stats().Flows > 0 })
	eventually(t, "the server has forgotten all", func() bool { return server.Stats().Flows == 0 })
	mu.Lock()
	defer mu.Unlock()
	for i, c := range cases {
		sent := 0
		for _, pkt := range c.pkts {
			sent += len(pkt)
		}
		t.Logf("%s: %d bytes for %d", c.name, got[victim(i)], sent)
		if got[victim(i)] > sal.AmplificationLimit*sent {
			t.Errorf("%s: %d bytes answered %d", c.name, got[victim(i)], sent)
		}
	}
}

// TestBadSYNsLeaveNothing: SYNs that cannot be answered, for they hold no point
// of the curve or are too short for the answer, leave no flow behind.
func TestBadSYNsLeaveNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	for i := range 100 {
		syn := sal.SYN{Flow: sal.FlowID(i + 1), Service: sal.MustParseName("svc:echo").ServiceID(), Noise: make([]byte, 32)}
		if i%2 == 0 {
			syn.Noise = noise(31)
		}
		l.net.Inject(client.at(), server.at(), syn.Append(nil))
	}
	must(t, exchange(l.dial(client, "svc:echo"), 1000)) // it waited its turn behind them
	eventually(t, "nothing is left", func() bool { return server.Stats().Flows == 0 })
}
