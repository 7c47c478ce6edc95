// Package mesh decides between which addresses a connection has flows. It is
// pure: addresses go in, pairs of addresses come out.
//
// A full mesh of all addresses of both ends would be mostly flows that share a
// bottleneck. Enough is one flow for each interface of this host and one for each
// address of the peer's, whichever are more: every network card at either end is
// then in use, and any of them may fail.
package mesh

import (
	"math/bits"
	"net/netip"
	"slices"
)

// Local is an address of this host that flows may use.
type Local struct {
	Addr netip.AddrPort
	// Slot is what one flow is enough for: an interface, or one of several
	// sockets on it. An interface's IPv4 and IPv6 addresses share a slot.
	Slot string
}

// Pair is where a flow runs: from a local address to one of the peer's.
type Pair struct{ Local, Remote netip.AddrPort }

// Fits reports whether packets can go from one to the other at all: addresses of
// one family, both loopback or neither.
func (p Pair) Fits() bool {
	l, r := p.Local.Addr(), p.Remote.Addr()
	return l.Is4() == r.Is4() && l.IsLoopback() == r.IsLoopback()
}

// Want returns the pairs that flows should be added on, the best first, so that
// there are at most most flows with those of have. Pairs that are bad are left
// out. The family of the first flow is preferred: a card's two families share its
// bandwidth.
func Want(locals []Local, remotes []netip.AddrPort, have []Pair, most int, bad func(Pair) bool) []Pair {
	if len(have) == 0 {
		return nil
	}
	four := have[0].Remote.Addr().Is4()
	usedSlot, usedRemote := map[string]bool{}, map[netip.AddrPort]bool{}
	inFamily := map[string]bool{}
	for _, l := range locals {
		if l.Addr.Addr().Is4() == four {
			inFamily[l.Slot] = true
		}
		for _, h := range have {
			if h.Local == l.Addr {
				usedSlot[l.Slot] = true
			}
		}
	}
	for _, h := range have {
		usedRemote[h.Remote] = true
	}
	var out []Pair
	for len(have)+len(out) < most {
		var best Pair
		bestScore, slot := 0, ""
		for _, l := range locals {
			if inFamily[l.Slot] && l.Addr.Addr().Is4() != four {
				continue
			}
			for _, r := range remotes {
				p := Pair{l.Addr, r}
				if !p.Fits() || usedSlot[l.Slot] && (usedRemote[r] || r.Addr().Is4() != four) || bad(p) {
					continue
				}
				score := 1 + alike(l.Addr.Addr(), r.Addr())
				if !usedSlot[l.Slot] {
					score += 1000
				}
				if !usedRemote[r] {
					score += 500
				}
				if score > bestScore {
					best, bestScore, slot = p, score, l.Slot
				}
			}
		}
		if bestScore == 0 {
			break
		}
		out = append(out, best)
		usedSlot[slot], usedRemote[best.Remote] = true, true
	}
	return out
}

// Enough is how many flows are worth having between all these addresses.
func Enough(locals []Local, remotes []netip.AddrPort) int {
	slots := map[string]bool{}
	for _, l := range locals {
		slots[l.Slot] = true
	}
	var four, six int
	for _, r := range remotes {
		if r.Addr().Is4() {
			four++
		} else {
			six++
		}
	}
	return max(len(slots), four, six)
}

// Refuge returns the local addresses from which a flow that lost its own may
// reach any of the remotes, the best first: those of slots without a flow, then
// those that are like the remote.
func Refuge(locals []Local, remotes []netip.AddrPort, have []Pair) []Local {
	score := func(l Local) int {
		best := 0
		for _, r := range remotes {
			if (Pair{l.Addr, r}).Fits() {
				best = max(best, 1+alike(l.Addr.Addr(), r.Addr()))
			}
		}
		for _, h := range have {
			if h.Local == l.Addr && best > 0 {
				return 1
			}
		}
		return best
	}
	var out []Local
	var scores []int
	for _, l := range locals {
		s := score(l)
		if s == 0 {
			continue
		}
		i := len(out)
		for i > 0 && scores[i-1] < s {
			i--
		}
		out, scores = slices.Insert(out, i, l), slices.Insert(scores, i, s)
	}
	return out
}

// alike counts the leading bits that two addresses of one family share, as a
// sign that they are on one network.
func alike(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	n := 0
	for i := range min(len(x), len(y)) {
		if d := x[i] ^ y[i]; d != 0 {
			return n + bits.LeadingZeros8(d)
		}
		n += 8
	}
	return n
}
