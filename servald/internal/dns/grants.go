package dns

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/serval-net/serval/servald/internal/vaddr"
)

// maxGrantees bounds the clients whose shares are counted one by one.
const maxGrantees = 1024

// grants limits how many new IPv4 addresses one client can have made: where a rule or
// an instance stands for all names of a subtree, anybody can ask for names without
// end. In the time that an address rests, each may use up a quarter of the pool.
type grants struct {
	burst   int
	mu      sync.Mutex
	clients map[netip.Addr]*rate.Limiter
}

func (g *grants) init(pool *vaddr.Pool) {
	all, _ := pool.Capacity()
	g.burst = max(all/8, 1)
	g.clients = make(map[netip.Addr]*rate.Limiter)
}

// allow counts a new address for a client.
func (g *grants) allow(client netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	client = household(client)
	l := g.clients[client]
	if l == nil {
		if len(g.clients) >= maxGrantees {
			client = netip.Addr{} // all further ones together
			l = g.clients[client]
		}
		if l == nil {
			l = rate.NewLimiter(rate.Limit(float64(g.burst)/vaddr.Rest.Seconds()), g.burst)
			g.clients[client] = l
		}
	}
	return l.AllowN(time.Now(), 1)
}
