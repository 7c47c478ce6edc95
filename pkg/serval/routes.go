package serval

import (
	"net/netip"
	"sync"

	"github.com/serval-net/serval/internal/flow"
)

// maxRoutes bounds how many hosts are remembered.
const maxRoutes = 4096

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
