package serval

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// Rule says what becomes of dials of this node, and of the first packets that
// reach it, for the services under a name. The rules of the longest prefix come
// first, then those of larger priorities; what a rule says comes before what the
// resolver knows under the same name, and after what it knows under a longer one.
type Rule struct {
	// ID names the rule on this node. AddRule chooses it.
	ID uint64

	// Service is a name such as "svc:web", or with a wildcard the names below
	// one, "svc:shop/*", or all, "*".
	Service string

	// Keys restricts the rule to parts of the service's key space; none means
	// all of it.
	Keys []sal.KeyPrefix

	// Action is servicetable.Forward, Delay or Drop. Demux is what Listen adds.
	Action servicetable.Action

	// Priority and Weight are as in a registration: larger priorities come first,
	// and Weight, 1 to 65535, is the share among equals; 0 means 1. Delay comes
	// behind all other rules of its prefix, whatever its priority.
	Priority, Weight int

	// Next is where Forward sends: the addresses, best first, of one instance or
	// of a node that forwards; 1 to 16 of them.
	Next []netip.AddrPort

	// Hook is what Delay runs.
	Hook Hook

	// Expires is when the rule ends by itself; the zero time means never.
	Expires time.Time

	// Packets and Bytes count what the rule was used for: first packets that
	// reached this node, and dials, of no bytes. Rules fills them in.
	Packets, Bytes uint64
}

// rules are the rules that were added by hand.
type rules struct {
	mu     sync.Mutex
	last   uint64
	all    map[uint64]*rule
	closed bool
}

// rule is a Rule in force.
type rule struct {
	Rule
	name    sal.Name
	saidBy  wakingKey                    // whose hook named it, or zero
	entries []*servicetable.Rule[target] // one for each of Keys
	end     *time.Timer                  // nil if it never expires
}

// AddRule adds a rule to the node's service table and returns its ID.
func (n *Node) AddRule(r Rule) (id uint64, err error) {
	added := &rule{Rule: r}
	if err := added.check(time.Now()); err != nil {
		return 0, &OpError{Op: "add a rule for", Service: r.Service, Err: err}
	}
	keys := r.Keys
	if len(keys) == 0 {
		keys = []sal.KeyPrefix{{}}
	}
	var prefixes []sal.Prefix
	for _, k := range keys {
		p := added.name.Prefix()
		if k.Bits > 0 {
			p = k.Of(added.name)
		}
		prefixes = append(prefixes, p)
	}
	if err := n.enter(added, prefixes...); err != nil {
		return 0, &OpError{Op: "add a rule for", Service: r.Service, Err: err}
	}
	return added.ID, nil
}

// lastResort is taken off the priorities of DELAY rules in the table, so that they
// come behind all others of their prefix.
const lastResort = 1 << 20

// enter puts a rule into the service table.
func (n *Node) enter(r *rule, prefixes ...sal.Prefix) error {
	priority := r.Priority
	if r.Action == servicetable.Delay {
		priority -= lastResort
	}
	for _, p := range prefixes {
		r.entries = append(r.entries, &servicetable.Rule[target]{Prefix: p, Action: r.Action, Priority: priority,
			Weight: uint32(r.Weight), Target: target{addrs: r.Next, rule: r, memo: new(hopMemo)}})
	}
	n.rules.mu.Lock()
	defer n.rules.mu.Unlock()
	if n.rules.closed {
		return errNodeClosed
	}
	n.rules.last++
	r.ID = n.rules.last
	if err := n.services.Add(r.entries...); err != nil {
		return err
	}
	if n.rules.all == nil {
		n.rules.all = make(map[uint64]*rule)
	}
	n.rules.all[r.ID] = r
	if !r.Expires.IsZero() {
		r.end = time.AfterFunc(time.Until(r.Expires), func() { n.RemoveRule(r.ID) })
	}
	return nil
}

// RemoveRule removes a rule that AddRule added.
func (n *Node) RemoveRule(id uint64) error {
	n.rules.mu.Lock()
	defer n.rules.mu.Unlock()
	r := n.rules.all[id]
	if r == nil {
		return &OpError{Op: "remove", Service: fmt.Sprintf("rule %d", id), Err: because(ErrNoRule, "there is no such rule; it may have expired")}
	}
	n.removeRule(r)
	return nil
}

// removeRule takes a rule out; the caller holds rules.mu.
func (n *Node) removeRule(r *rule) {
	if r.end != nil {
		r.end.Stop()
	}
	delete(n.rules.all, r.ID)
	n.services.Remove(r.entries...)
}

// Rules returns the rules that AddRule added and that have not ended, by service
// and falling priority.
func (n *Node) Rules() []Rule {
	n.rules.mu.Lock()
	list := make([]*rule, 0, len(n.rules.all))
	for _, r := range n.rules.all {
		list = append(list, r)
	}
	n.rules.mu.Unlock()
	slices.SortFunc(list, func(a, b *rule) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
	})
	out := make([]Rule, len(list))
	for i, r := range list {
		out[i] = r.counted()
	}
	return out
}

// counted returns a copy with its statistics. Nothing but they ever changes.
func (r *rule) counted() Rule {
	out := r.Rule
	out.Keys, out.Next, out.Hook = slices.Clone(r.Keys), slices.Clone(r.Next), r.Hook.clone()
	for _, e := range r.entries {
		packets, bytes := e.Counted()
		out.Packets += packets
		out.Bytes += bytes
	}
	return out
}

// count notes a use of the rule.
func (r *rule) count(size int) { r.entries[0].Count(size) }

// endRules removes all rules for good.
func (n *Node) endRules() {
	n.rules.mu.Lock()
	defer n.rules.mu.Unlock()
	n.rules.closed = true
	for _, r := range n.rules.all {
		n.removeRule(r)
	}
}

// check refuses what cannot be meant, and brings the rest into its one form.
func (r *rule) check(now time.Time) (err error) {
	if r.name, err = sal.ParseName(r.Service); err != nil {
		return err
	}
	r.Service = r.name.String()
	switch {
	case r.Weight < 0 || r.Weight > 65535:
		return fmt.Errorf("the weight is %d; choose 1 to 65535, or 0 for 1", r.Weight)
	case r.Priority < -32768 || r.Priority > 32767:
		return fmt.Errorf("the priority is %d; choose -32768 to 32767", r.Priority)
	case len(r.Keys) > resolver.MaxKeys || len(r.Keys) > 0 && r.name.IsWildcard():
		return fmt.Errorf("there are %d key prefixes; give at most %d, and none to a wildcard", len(r.Keys), resolver.MaxKeys)
	case !r.Expires.IsZero() && !r.Expires.After(now):
		return fmt.Errorf("the rule would have expired already, at %v", r.Expires.Format(time.RFC3339))
	}
	for _, k := range r.Keys {
		if !k.Valid() {
			return fmt.Errorf("the key prefix %v has bits set beyond its length", k)
		}
	}
	if r.Action != servicetable.Forward && len(r.Next) > 0 {
		return fmt.Errorf("a %v rule leads nowhere; give addresses to forward to only with FORWARD", r.Action)
	}
	if r.Action != servicetable.Delay && !r.Hook.isZero() {
		return fmt.Errorf("a %v rule runs nothing; give a hook only with DELAY", r.Action)
	}
	r.Keys = slices.Clone(r.Keys)
	switch r.Action {
	case servicetable.Forward:
		return r.checkNext()
	case servicetable.Delay:
		r.Hook = r.Hook.clone()
		return r.Hook.check()
	case servicetable.Drop:
		return nil
	}
	return fmt.Errorf("the action is %v; choose FORWARD, DELAY or DROP", r.Action)
}

func (r *rule) checkNext() error {
	if len(r.Next) == 0 || len(r.Next) > resolver.MaxAddrs {
		return fmt.Errorf("a FORWARD rule has %d addresses to forward to; give 1 to %d", len(r.Next), resolver.MaxAddrs)
	}
	r.Next = slices.Clone(r.Next)
	for i, a := range r.Next {
		if !a.IsValid() || a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast() || a.Addr().Zone() != "" {
			return fmt.Errorf("nobody can be reached at %v; give a unicast address without zone, and a port", a)
		}
		r.Next[i] = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return nil
}
