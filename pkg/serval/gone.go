package serval

import (
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

const (
	// maxGone bounds the addresses that a node remembers to be gone. When there
	// are more, it forgets all.
	maxGone = 1024
	// goneFor is how long it remembers one that nobody asks.
	goneFor = 10 * time.Second
)

// gone remembers since when addresses that are listed for a service turned out
// not to serve it any more: dials wait for a successor only as long as that is
// news. The zero value knows of none. It is safe for concurrent use.
type gone struct {
	mu sync.Mutex
	m  map[goneKey]*goneSince
}

type goneKey struct {
	service sal.Name
	addr    netip.AddrPort
}

type goneSince struct{ first, last time.Time }

// note takes note that an address does not serve a service, and returns since when
// that is known.
func (g *gone) note(service sal.Name, addr netip.AddrPort, now time.Time) (since time.Time) {
	k := goneKey{service, addr}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.m[k]
	if s == nil {
		if g.m == nil || len(g.m) >= maxGone {
			g.m = make(map[goneKey]*goneSince)
		}
		s = new(goneSince)
		g.m[k] = s
	}
	if now.Sub(s.last) > goneFor { // it may have been back meanwhile
		s.first = now
	}
	s.last = now
	return s.first
}

// back takes note that an address serves a service.
func (g *gone) back(service sal.Name, addr netip.AddrPort) {
	g.mu.Lock()
	delete(g.m, goneKey{service, addr})
	g.mu.Unlock()
}
