package serval

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// candidate is an address where a first packet may find an instance.
type candidate struct {
	addr netip.AddrPort
	rank int  // of its address among the instance's
	late bool // it is asked after all others
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

// candidates lists where to send the first packet for a name, best first. All of
// them are hints; the outcome of a SYN decides.
func (n *Node) candidates(ctx context.Context, name sal.Name, w choice) ([]candidate, error) {
	found, err := n.rouse(ctx, name, w)
	if err != nil {
		return nil, err
	}
	all := w.resolver(n.ID()).Order(found, chance{})
	list := n.addresses(all)
	if len(list) == 0 {
		return nil, noCandidate(name, all, w)
	}
	if all[0].Standing == resolver.Trial {
		n.health.try(all[0].Addrs, 2*n.cfg.TryNext)
	}
	return list, nil
}

// noCandidate says why nobody can be asked.
func noCandidate(name sal.Name, all []resolver.Verdict, w choice) error {
	for _, v := range all {
		switch v.Excluded {
		case resolver.Unreachable:
			return because(ErrNoService, "no address of %v can be reached from this host's interfaces", name)
		case resolver.NotOwner:
			return because(ErrNoService, "no instance of %v owns the key, though there are some for other keys; does anybody serve that part of the key space?", name)
		case resolver.NotAsked:
			return because(ErrNoService, "node %v is not known to serve %v, though others are", w.only.Short(), name)
		}
	}
	return because(ErrNoService, "no instance of %v is known; is it running, and in this cluster?", name)
}

// consider finds the instances of a service and puts them in the order to ask
// them in. It changes nothing, so that it can be asked what a dial would do. The
// rule, if not nil, is a DELAY rule whose hook a dial would run first.
func (n *Node) consider(ctx context.Context, name sal.Name, w choice) ([]resolver.Verdict, *rule, error) {
	found, delay, err := n.known(ctx, name, w)
	if err != nil {
		return nil, nil, err
	}
	return w.resolver(n.ID()).Order(found, chance{}), delay, nil
}

// known collects what the service table and the resolver know of a service. The
// rule, if not nil, is a DELAY rule that comes before all that is known, but for
// instances that were ejected.
func (n *Node) known(ctx context.Context, name sal.Name, w choice) ([]resolver.Candidate, *rule, error) {
	say := n.ruled(name, w)
	found := say.found
	if n.cfg.Resolver != nil && say.dropped < int(name.Prefix().Bits) {
		known, err := n.cfg.Resolver.Resolve(ctx, name)
		if err != nil && len(found) == 0 && say.delay == nil {
			if err = inOurTerms(err); err != nil {
				return nil, nil, err
			}
		}
		if err == nil {
			found = appendKnown(n.without(found, known), known, say.dropped)
		}
	}
	if len(found) == 0 && say.dropped >= 0 && say.delay == nil {
		return nil, nil, because(ErrRefused, "a rule of this node's service table drops %v", name)
	}
	n.assess(found)
	if slices.ContainsFunc(found, func(c resolver.Candidate) bool { return c.Bits >= say.delayed && c.Standing != resolver.Ejected }) {
		say.delay = nil
	}
	return found, say.delay, nil
}

// without leaves out of what rules say the instances that the resolver knows too:
// our own, and those of which Learn told.
func (n *Node) without(ruled []resolver.Candidate, known []resolver.Instance) []resolver.Candidate {
	if len(known) == 0 || len(ruled) == 0 {
		return ruled
	}
	return slices.DeleteFunc(ruled, func(c resolver.Candidate) bool {
		return c.Node == n.ID() || c.Node != (identity.NodeID{}) && slices.ContainsFunc(known, func(in resolver.Instance) bool {
			return c.Node == in.Node && c.Service == in.Service
		})
	})
}

// appendKnown adds the instances that a resolver knows under prefixes longer than
// those for which all is dropped.
func appendKnown(found []resolver.Candidate, known []resolver.Instance, dropped int) []resolver.Candidate {
	found = slices.Grow(found, len(known))
	bits := 0
	for i, in := range known {
		if i == 0 || in.Service != known[i-1].Service {
			bits = int(in.Service.Prefix().Bits)
		}
		if bits > dropped {
			found = append(found, resolver.Candidate{Instance: in, Bits: bits, Rule: in.Rule})
		}
	}
	return found
}

// inOurTerms is the error of a dial for that of a resolver, nil if that has
// nothing to say but that it knows nobody.
func inOurTerms(err error) error {
	why := new(resolver.ReasonError)
	switch {
	case errors.Is(err, resolver.ErrRefused):
		return because(ErrRefused, "%v", err)
	case errors.As(err, &why) && errors.Is(err, resolver.ErrNoService):
		return because(ErrNoService, "%v", why)
	case errors.Is(err, resolver.ErrNoService):
		return nil
	}
	return err
}

// assess adds what this node has seen of candidates.
func (n *Node) assess(found []resolver.Candidate) {
	now := time.Now()
	for i := range found {
		c := &found[i]
		reachable := n.reachable(c.Addrs)
		c.Unreachable = len(reachable) == 0
		c.RTT = n.nearest(reachable)
		n.health.assess(c, reachable, now)
	}
}

// ruling is what the service table says of a service.
type ruling struct {
	found   []resolver.Candidate
	dropped int   // who is known under a prefix of this length or a shorter one does not count
	delay   *rule // runs a hook if nobody is known under a prefix of at least the length
	delayed int
}

// ruled asks the service table: a FORWARD rule says where instances are, DEMUX
// that this very node is one, DROP that there is none, and DELAY what to do about
// it.
func (n *Node) ruled(name sal.Name, w choice) ruling {
	say := ruling{dropped: -1}
	for _, r := range n.services.Candidates(nil, name.ServiceID().WithKey(w.key), maxCandidates) {
		c := byRule(r, name)
		switch r.Action {
		case servicetable.Forward:
			c.Addrs = r.Target.addrs
			if r.Target.learnt != nil {
				c.Instance, c.Rule = *r.Target.learnt.Load(), false
			}
			say.found = append(say.found, c)
		case servicetable.Demux:
			if r.Target.listener.census.refuses() {
				continue
			}
			c.Node, c.Addrs, c.Priority = n.ID(), n.sockets.addrs(), 0
			say.found = append(say.found, c)
		case servicetable.Drop:
			say.dropped = c.Bits
		case servicetable.Delay:
			if say.delay == nil {
				say.delay, say.delayed = r.Target.rule, c.Bits
			}
		}
	}
	return say
}

// byRule is what a rule says of whom it names.
func byRule(r *servicetable.Rule[target], name sal.Name) resolver.Candidate {
	c := resolver.Candidate{Bits: int(r.Prefix.Bits), Rule: true}
	c.Service, c.Priority, c.Weight = name, r.Priority, int(r.Weight)
	if by := r.Target.rule; by != nil && !by.name.IsZero() {
		c.Service = by.name
	}
	if all := int(name.Prefix().Bits); c.Bits > all { // it is for some keys
		c.Keys = []sal.KeyPrefix{{Key: r.Prefix.Masked().ID.Key(), Bits: uint8(c.Bits - all)}}
		c.Bits = all
	}
	return c
}

// resolver is the choice in the resolver's terms, of a node.
func (w choice) resolver(self identity.NodeID) resolver.Choice {
	return resolver.Choice{Balance: w.balance, Keyed: w.keyed, Key: w.key, Affinity: resolver.HashKey(string(self[:])),
		Only: w.only, Rather: w.rather, RatherAt: w.ratherAt}
}

// chance is the process's source of randomness.
type chance struct{}

func (chance) Float64() float64    { return rand.Float64() }
func (chance) ExpFloat64() float64 { return rand.ExpFloat64() }

// reachable keeps the addresses for which this host has an interface.
func (n *Node) reachable(addrs []netip.AddrPort) []netip.AddrPort {
	for i, a := range addrs {
		if n.sockets.pick(a.Addr()) == nil {
			some := slices.Clone(addrs[:i])
			for _, a := range addrs[i+1:] {
				if n.sockets.pick(a.Addr()) != nil {
					some = append(some, a)
				}
			}
			return some
		}
	}
	return addrs
}

// nearest is the least round trip to any of several addresses, 0 if none was
// measured.
func (n *Node) nearest(addrs []netip.AddrPort) (least time.Duration) {
	now := n.now()
	for _, a := range addrs {
		if rtt := n.routes.rtt(a.Addr(), now); rtt > 0 && (least == 0 || rtt < least) {
			least = rtt
		}
	}
	return least
}

// addresses lists the addresses of instances: the first of each, then the second,
// and so on. Those that were silent come after the others of their instance, and
// like all of an instance that is ejected after those of all others.
func (n *Node) addresses(all []resolver.Verdict) []candidate {
	now := time.Now()
	list := make([]candidate, 0, len(all))
	var seen map[netip.AddrPort]bool // where a rule and the resolver may know the same
	if slices.ContainsFunc(all, func(v resolver.Verdict) bool { return v.Rule }) {
		seen = make(map[netip.AddrPort]bool, len(all))
	}
	for i := range all {
		v := &all[i]
		if v.Excluded != resolver.Included {
			break
		}
		rank := 0
		for _, suspects := range []bool{false, true} {
			for _, a := range n.reachable(v.Addrs) {
				if seen[a] || suspects != n.health.suspect(a, now) {
					continue
				}
				if seen != nil {
					seen[a] = true
				}
				list = append(list, candidate{a, rank, v.Last() || suspects && !v.Pardoned, v.Instance})
				rank++
			}
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		if a.late != b.late {
			if a.late {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.rank, b.rank)
	})
	return list
}
