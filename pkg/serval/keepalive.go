package serval

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
)

// pair is what all flows between two socket addresses share: whether packets
// get through, and the NAT binding that a packet now and then holds open. One
// connection's keep-alive serves all others on the pair.
type pair struct {
	heard atomic.Int64 // flow.Time of the last authentic packet
	asked atomic.Int64 // and of the last keep-alive
	users atomic.Int64
}

const (
	// pairQuiet is how long nothing has been heard on a pair that may be broken,
	// and a little more for each of its users: the more there are, the more a
	// false alarm costs, and the likelier it is that the hosts are only busy.
	pairQuiet    = 40 * time.Millisecond
	quietPerUser = time.Millisecond
	maxPairQuiet = 2 * time.Second
)

// silent reports whether the pair may be broken.
func (p *pair) silent(now flow.Time) bool { return now >= p.silentAt() }

// silentAt is when it may be, if nothing is heard until then.
func (p *pair) silentAt() flow.Time {
	return flow.Time(p.heard.Load()).Add(min(pairQuiet+time.Duration(p.users.Load())*quietPerUser, maxPairQuiet))
}

// quiet is how long nothing was heard.
func (p *pair) quiet(now flow.Time) time.Duration { return now.Sub(flow.Time(p.heard.Load())) }

// mayAsk reports whether to send a keep-alive: true for one connection of all,
// once in a while.
func (p *pair) mayAsk(now flow.Time) bool {
	const again = time.Second
	last := p.asked.Load()
	return (last == 0 || now.Sub(flow.Time(last)) >= again) && p.asked.CompareAndSwap(last, int64(now))
}

type pairKey struct{ local, remote netip.AddrPort }

// pairs are the pairs in use. The zero value is empty.
type pairs struct {
	mu sync.Mutex
	m  map[pairKey]*pair
}

// join returns the pair for one more flow.
func (p *pairs) join(k pairKey, now flow.Time) *pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.m[k]
	if known == nil {
		if p.m == nil {
			p.m = make(map[pairKey]*pair)
		}
		known = new(pair)
		known.heard.Store(int64(now))
		p.m[k] = known
	}
	known.users.Add(1)
	return known
}

// leave ends a flow's use of the pair.
func (p *pairs) leave(k pairKey, was *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if was.users.Add(-1) == 0 && p.m[k] == was {
		delete(p.m, k)
	}
}

// keepAlive asks for a sign of life on the flows that have been silent for so
// long, unless another connection on the same pair of addresses just heard one
// or asks already. The caller holds mu.
func (l *link) keepAlive(now flow.Time, silence time.Duration) {
	const slack = 100 * time.Millisecond // timers of many connections drift
	for i := range l.paths {
		p := &l.paths[i]
		if l.set.State(uint8(i)) == flowset.Active && p.shared.quiet(now) >= silence-slack && (silence == 0 || p.shared.mayAsk(now)) {
			l.set.Probe(uint8(i))
		}
	}
}

// doubt makes all connections on a pair ask whether it still works: one of them
// found it silent. Who is idle would else notice at its next keep-alive. While
// any of them hears something the pair works, and it is that one's own affair, or
// that of a host which has too much to do.
func (n *Node) doubt(k pairKey, p *pair, except *link) {
	if p.users.Load() < 2 || !p.silent(n.now()) || !p.mayAsk(n.now()) {
		return
	}
	n.goLinks(func(l *link) {
		if l == except || !p.silent(n.now()) {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range l.paths {
			if l.paths[i].pair() == k && l.set.State(uint8(i)) == flowset.Active {
				l.set.Probe(uint8(i))
			}
		}
		l.pump(n.now())
	})
}

// goLinks runs f for every connection, on a goroutine of its own.
func (n *Node) goLinks(f func(l *link)) {
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		for _, l := range n.allLinks() {
			f(l)
		}
	}()
}
