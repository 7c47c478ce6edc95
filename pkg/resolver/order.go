package resolver

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// Suspicion is how long an instance that did not answer comes last, unless its
// registration is renewed: longer than that of a crashed one stays known.
const Suspicion = 2 * DefaultTTL

// Health remembers which instances did not answer. The zero value knows of
// none. All methods are safe for concurrent use.
type Health struct {
	mu      sync.Mutex
	suspect map[healthKey]time.Time // until when
}

// healthKey is a node or, if that is not known, an address.
type healthKey struct {
	node identity.NodeID
	addr netip.AddrPort
}

const maxSuspects = 4096

func keyOf(in Instance) healthKey {
	if in.Node != (identity.NodeID{}) || len(in.Addrs) == 0 {
		return healthKey{node: in.Node}
	}
	return healthKey{addr: in.Addrs[0]}
}

// Report notes whether the instance's node answered. If it did not, it is
// suspect for the time Suspicion.
func (h *Health) Report(in Instance, ok bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ok {
		delete(h.suspect, keyOf(in))
		return
	}
	if len(h.suspect) >= maxSuspects {
		for k, until := range h.suspect {
			if !now.Before(until) {
				delete(h.suspect, k)
			}
		}
		if len(h.suspect) >= maxSuspects {
			return
		}
	}
	if h.suspect == nil {
		h.suspect = make(map[healthKey]time.Time)
	}
	h.suspect[keyOf(in)] = now.Add(Suspicion)
}

// Sort puts the instances in the order to try them in: suspects last, larger
// priorities first, and among equals at random by weight.
func (h *Health) Sort(list []Instance, now time.Time) {
	type ranked struct {
		Instance
		suspect bool
		luck    float64
	}
	all := make([]ranked, len(list))
	h.mu.Lock()
	for i, in := range list {
		until, known := h.suspect[keyOf(in)]
		// The first of several exponential clocks to ring, each at a rate of
		// its weight, is one drawn by weight; so is the next of the others.
		all[i] = ranked{in, known && now.Before(until), rand.ExpFloat64() / float64(max(in.Weight, 1))}
	}
	h.mu.Unlock()
	slices.SortFunc(all, func(a, b ranked) int {
		if a.suspect != b.suspect {
			if a.suspect {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.luck, b.luck))
	})
	for i := range all {
		list[i] = all[i].Instance
	}
}

// patterns returns the names under which instances of a service may be
// registered: itself, then the wildcards that cover it, narrowest first. No
// wildcard stands for a node.
func patterns(service sal.Name) []sal.Name {
	names := []sal.Name{service}
	if isNode(service) {
		return names
	}
	for path := service.Path(); path != ""; {
		if n, err := sal.ParseName(path + "/*"); err == nil && n.Covers(service) {
			names = append(names, n)
		}
		path = path[:max(lastSlash(path), 0)]
	}
	return append(names, everything)
}

var everything = sal.MustParseName("*")

func lastSlash(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return i
		}
	}
	return -1
}
