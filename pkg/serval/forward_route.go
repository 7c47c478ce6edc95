package serval

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

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
			if r, to := n.pickHop(rules[:group], from, came, avoid); r != nil {
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

// pickHop picks one of the rules of a priority that lead somewhere new.
func (n *Node) pickHop(group []*servicetable.Rule[target], from netip.AddrPort, came, avoid []byte) (*servicetable.Rule[target], nextHop) {
	var sum uint64
	for _, r := range group {
		sum += uint64(max(r.Weight, 1))
	}
	at := rand.Uint64N(sum)
	first := 0
	for i, r := range group {
		if w := uint64(max(r.Weight, 1)); at >= w {
			at -= w
			continue
		}
		first = i
		break
	}
	for i := range group { // mostly the first will do
		r := group[(first+i)%len(group)]
		if r.Action != servicetable.Forward || leadsBack(r.Target.addrs, from, came, avoid) {
			continue
		}
		if to, ok := n.hop(&r.Target); ok {
			return r, to
		}
	}
	return nil, nextHop{}
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
