package resolver

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/pkg/identity"
)

// Suspicion is how long an instance that did not answer comes last, unless its
// registration is renewed: longer than that of a crashed one stays known.
const Suspicion = 2 * DefaultTTL

// Health remembers which instances did not answer, as a resolver hears it from
// those who dial. The zero value knows of none. All methods are safe for
// concurrent use.
type Health struct {
	silent Outliers[healthKey]
}

// healthKey is a node or, if that is not known, an address.
type healthKey struct {
	node identity.NodeID
	addr netip.AddrPort
}

func keyOf(in Instance) healthKey {
	if in.Node != (identity.NodeID{}) || len(in.Addrs) == 0 {
		return healthKey{node: in.Node}
	}
	return healthKey{addr: in.Addrs[0]}
}

// Report notes whether the instance's node answered. If it did not, it is
// suspect for the time Suspicion.
func (h *Health) Report(in Instance, ok bool, now time.Time) {
	if ok {
		h.silent.Answered(keyOf(in))
		return
	}
	h.silent.Hold(keyOf(in), now.Add(Suspicion), now)
}

// Sort marks the suspects among instances and puts all in the order to try them
// in: suspects last, larger priorities first, and among equals at random by
// weight. Choice.Order knows better, if whoever dials has a choice.
func (h *Health) Sort(list []Instance, now time.Time) {
	type ranked struct {
		Instance
		luck float64
	}
	all := make([]ranked, len(list))
	for i, in := range list {
		s, _ := h.silent.Standing(keyOf(in), now)
		in.Suspect = in.Suspect || s != Well
		all[i] = ranked{in, rand.ExpFloat64() / in.weight()}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		if a.Suspect != b.Suspect {
			if a.Suspect {
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
