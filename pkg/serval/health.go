package serval

import (
	"net/netip"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
)

// holdDeclined is how long an instance that declined, and did not say for how
// long, is asked after others.
const holdDeclined = time.Second

// health remembers how instances fared in this node's dials: which addresses left
// a SYN unanswered, so that a crashed instance costs one dial its timer and not
// the next one too, and who declined. Gossip learns later; a SYN's outcome is the
// judge. It is safe for concurrent use.
type health struct {
	addrs resolver.Outliers[netip.AddrPort]
	busy  resolver.Outliers[instanceKey]
}

// keyOf is a service's instance: by its node, or by its first address where the
// node is not known.
func keyOf(in *resolver.Instance) instanceKey {
	k := instanceKey{service: in.Service, node: in.Node}
	if in.Node == anyNode && len(in.Addrs) > 0 {
		k.addr = in.Addrs[0]
	}
	return k
}

// init makes it know of nobody.
func (h *health) init() { *h = health{} }

func (h *health) silent(a netip.AddrPort) { h.addrs.Failed(a, time.Now()) }

func (h *health) answered(a netip.AddrPort) { h.addrs.Answered(a) }

// declined notes that an instance has no room, for a time or, if that is 0, for
// some time.
func (h *health) declined(in *resolver.Instance, wait time.Duration) {
	if wait == 0 {
		wait = holdDeclined
	}
	now := time.Now()
	h.busy.Hold(keyOf(in), now.Add(wait), now)
}

// suspect reports whether an address was silent when last asked, and it is not
// yet time to ask it again.
func (h *health) suspect(a netip.AddrPort, now time.Time) bool {
	s, _ := h.addrs.Standing(a, now)
	return s == resolver.Ejected
}

// assess says how an instance stands whose addresses are those that can be
// reached: as well as the best of them.
func (h *health) assess(c *resolver.Candidate, addrs []netip.AddrPort, now time.Time) {
	c.Standing, c.Until = resolver.Ejected, time.Time{}
	known := false
	for _, a := range addrs {
		s, until := h.addrs.Standing(a, now)
		known = known || s != resolver.Well
		if s < c.Standing || s == c.Standing && (c.Until.IsZero() || until.Before(c.Until)) {
			c.Standing, c.Until = s, until
		}
	}
	if !known {
		c.Standing, c.Until = resolver.Well, time.Time{}
		c.Heard() // we have no opinion of our own
	}
	if s, until := h.busy.Standing(keyOf(&c.Instance), now); s != resolver.Well && c.Standing != resolver.Ejected {
		c.Standing, c.Until = resolver.Busy, until
	}
}

// try takes the trials of the addresses that one dial is about to ask. If nothing
// comes of it within the time given, another may.
func (h *health) try(addrs []netip.AddrPort, wait time.Duration) {
	now := time.Now()
	for _, a := range addrs {
		h.addrs.Claim(a, now.Add(wait), now)
	}
}
