package serval

import (
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// maxRoutes bounds how many hosts are remembered.
const maxRoutes = 4096

// rttMemory is how long the round trip to a host is believed that no connection
// has measured again.
const rttMemory = 10 * time.Minute

// routes is what the node knows of the way to other hosts. The zero value is
// empty.
type routes struct {
	mu sync.Mutex
	m  map[netip.Addr]*flow.Route
}

// to returns what all flows to a host share.
func (r *routes) to(host netip.Addr) *flow.Route {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.m[host]; known != nil {
		return known
	}
	if r.m == nil || len(r.m) >= maxRoutes {
		r.m = make(map[netip.Addr]*flow.Route) // flows keep theirs
	}
	known := new(flow.Route)
	r.m[host] = known
	return known
}

// rtt returns the least round trip to a host that was seen lately, 0 if none was.
func (r *routes) rtt(host netip.Addr, now flow.Time) time.Duration {
	r.mu.Lock()
	known := r.m[host]
	r.mu.Unlock()
	if known == nil {
		return 0
	}
	rtt, seen := known.Least()
	if now.Sub(seen) > rttMemory {
		return 0
	}
	return rtt
}
