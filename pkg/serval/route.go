package serval

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// candidate is an address where a first packet may find an instance.
type candidate struct {
	addr netip.AddrPort
	rank int // of its address among the instance's
	from resolver.Instance
}

// report tells the resolver how an instance fared, if it wants to know.
func (n *Node) report(c *candidate, ok bool) {
	if f, wants := n.cfg.Resolver.(resolver.Feedback); wants {
		f.Report(c.from, ok)
	}
}

// maxCandidates bounds how many rules one dial considers.
const maxCandidates = 64

// candidates lists where to send the first packet for a name, best first. The
// service table comes first: a FORWARD rule says where, DEMUX that this very
// node serves it, DROP that nobody may. The resolver adds what it knows. All of
// them are hints; the outcome of a SYN decides.
func (n *Node) candidates(ctx context.Context, name sal.Name, w choice) ([]candidate, error) {
	var found []resolver.Instance
	for _, r := range n.services.Candidates(nil, name.ServiceID().WithKey(w.key), maxCandidates) {
		switch r.Action {
		case servicetable.Forward:
			found = append(found, resolver.Instance{Service: name, Addrs: r.Target.addrs, Priority: r.Priority, Weight: int(r.Weight)})
		case servicetable.Demux:
			if r.Target.listener.census.refuses() {
				continue
			}
			found = append(found, resolver.Instance{Service: name, Node: n.ID(), Addrs: n.sockets.addrs()})
		case servicetable.Drop:
			return nil, because(ErrRefused, "a rule of this node's service table drops %v", name)
		}
	}
	if n.cfg.Resolver != nil {
		known, err := n.cfg.Resolver.Resolve(ctx, name)
		if err != nil && !errors.Is(err, resolver.ErrNoService) && len(found) == 0 {
			return nil, err
		}
		if len(known) > 0 && err == nil { // it knows our own instance too
			found = slices.DeleteFunc(found, func(in resolver.Instance) bool { return in.Node == n.ID() })
			found = append(found, known...)
		}
	}
	list := n.order(found)
	switch {
	case len(found) == 0:
		return nil, because(ErrNoService, "no instance of %v is known; is it running, and in this cluster?", name)
	case len(list) == 0:
		return nil, because(ErrNoService, "no address of %v can be reached from this host's interfaces", name)
	}
	return list, nil
}

// order lists the addresses of instances, which come best first, as the
// resolver drew them. Addresses that were silent lately come last; second and
// further addresses of an instance after the first of every other.
func (n *Node) order(found []resolver.Instance) []candidate {
	var out []candidate
	for _, in := range found {
		rank := 0
		for _, a := range in.Addrs {
			if n.sockets.pick(a.Addr()) == nil {
				continue // no interface of that family
			}
			out = append(out, candidate{a, rank, in})
			rank++
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return n.cost(a) - n.cost(b) })
	return out
}

func (n *Node) cost(c candidate) int {
	cost := c.rank
	if n.health.suspect(c.addr) {
		cost += 1000
	}
	return cost
}
