package serval

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// hopMemo remembers how a rule's next hop is reached, until the node's sockets
// change.
type hopMemo struct{ atomic.Pointer[hopFound] }

type hopFound struct {
	with *[]local // what there was when it was found
	nextHop
}

// route finds the next hop of a first packet that came from an address: by the
// longest prefix that has FORWARD rules that will do, the highest priority and at
// random by weight. Unless late, it is for somebody else to decide when there are
// other rules, because those of this node itself come first.
func (n *Node) route(syn *sal.SYN, from netip.AddrPort, size int, late bool) (nextHop, bool) {
	came, forwarded := syn.Extensions.Get(sal.ExtSource)
	if forwarded && n.passed(came) || syn.HopLimit == 0 {
		return nextHop{}, false
	}
	avoid, _ := syn.Extensions.Get(sal.ExtAvoid)
	for set := range n.services.Matches(syn.Service) {
		rules := set.Rules()
		for len(rules) > 0 {
			group := 1
			for group < len(rules) && rules[group].Priority == rules[0].Priority {
				group++
			}
			for _, r := range rules[:group] {
				if r.Action != servicetable.Forward && !late || r.Action == servicetable.Drop {
					return nextHop{}, false
				}
			}
			if r, to := n.pickHop(rules[:group], syn, from, came, avoid); r != nil {
				r.Count(size)
				return to, true
			}
			rules = rules[group:]
		}
	}
	return nextHop{}, false
}

// passed reports whether a SYN has been here before.
func (n *Node) passed(came []byte) bool {
	for a := range sal.SourceAddrs(came) {
		if n.sockets.at(a) != nil {
			return true
		}
	}
	return false
}

// pickHop picks one of the rules of a priority that lead somewhere new: for a key
// always the same, else at random by weight, or the less loaded of two of those.
func (n *Node) pickHop(group []*servicetable.Rule[target], syn *sal.SYN, from netip.AddrPort, came, avoid []byte) (*servicetable.Rule[target], nextHop) {
	first := 0
	switch in := group[0].Target.info(); {
	case len(group) == 1:
	case in != nil && syn.Service.Key() != 0 && (in.Balance == resolver.BalanceHash || in.Balance == resolver.BalanceDefault):
		return n.pickKeyed(group, syn.Service.Key(), from, came, avoid)
	case in != nil && in.Balance == resolver.BalanceLeastLoad:
		first = draw(group)
		if k := draw(group); group[k].Target.load() < group[first].Target.load() {
			first = k
		}
	default:
		first = draw(group)
	}
	for i := range group { // mostly the first will do
		r := group[(first+i)%len(group)]
		if to, ok := n.usable(r, from, came, avoid); ok {
			return r, to
		}
	}
	return nil, nextHop{}
}

// pickKeyed picks among equals by rendezvous hashing, as diallers do.
func (n *Node) pickKeyed(group []*servicetable.Rule[target], key uint64, from netip.AddrPort, came, avoid []byte) (best *servicetable.Rule[target], to nextHop) {
	var least float64
	for _, r := range group {
		in := r.Target.info()
		if in == nil {
			continue
		}
		if luck := resolver.HashLuck(key, in); best == nil || luck < least {
			if hop, ok := n.usable(r, from, came, avoid); ok {
				best, to, least = r, hop, luck
			}
		}
	}
	return best, to
}

// draw returns the index of one of the rules, at random by weight.
func draw(group []*servicetable.Rule[target]) int {
	var sum uint64
	for _, r := range group {
		sum += uint64(max(r.Weight, 1))
	}
	at := rand.Uint64N(sum)
	for i, r := range group {
		w := uint64(max(r.Weight, 1))
		if at < w {
			return i
		}
		at -= w
	}
	return 0 // not reached
}

// usable reports whether a rule leads somewhere new, and how to get there.
func (n *Node) usable(r *servicetable.Rule[target], from netip.AddrPort, came, avoid []byte) (nextHop, bool) {
	if r.Action != servicetable.Forward || leadsBack(r.Target.addrs, from, came, avoid) {
		return nextHop{}, false
	}
	return n.hop(&r.Target)
}

// info is what a resolver told of the instance that a rule leads to, nil if it is
// none of a resolver's.
func (t *target) info() *resolver.Instance {
	if t.learnt == nil {
		return nil
	}
	return t.learnt.Load()
}

func (t *target) load() float64 {
	if in := t.info(); in != nil {
		return in.Load
	}
	return 0
}

// leadsBack reports whether a next hop is where the SYN came from or through, or
// one that has refused it.
func leadsBack(addrs []netip.AddrPort, from netip.AddrPort, came, avoid []byte) bool {
	for _, a := range addrs {
		if a == from {
			return true
		}
		for c := range sal.SourceAddrs(came) {
			if a == c {
				return true
			}
		}
		for c := range sal.Addrs(avoid) {
			if a == c {
				return true
			}
		}
	}
	return false
}

// hop finds the way to a rule's target: its first address that this node has a
// socket for.
func (n *Node) hop(t *target) (nextHop, bool) {
	now := n.sockets.now.Load()
	if t.memo != nil {
		if m := t.memo.Load(); m != nil && m.with == now {
			return m.nextHop, m.by != nil
		}
	}
	found := hopFound{with: now}
	for _, a := range t.addrs {
		if n.sockets.at(a) != nil {
			break // this very node
		}
		if by := n.sockets.pick(a.Addr()); by != nil {
			found.nextHop = nextHop{a, by}
			break
		}
	}
	if t.memo != nil {
		t.memo.Store(&found)
	}
	return found.nextHop, found.by != nil
}
