package serval

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/serval-net/serval/internal/hook"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// A DELAY rule holds dials and first packets for a name that nobody is known to
// serve, under its own prefix or a longer one, until its hook has found or
// started an instance; then it is passed over. See waker for how often.

// run runs the hook for a service and waits until an instance is there.
func (n *Node) run(g *waking) {
	ctx, cancel := context.WithDeadline(n.waker.ctx, g.until)
	defer cancel()
	call := hook.Call{Service: g.key.rule.Service, ID: hex.EncodeToString(g.key.service[:])}
	if !g.name.IsZero() {
		call.Service = g.name.String()
	}
	n.log.Debug("a hook runs", "service", call.Service, "hook", g.key.rule.Hook.String())
	said, err := g.key.rule.Hook.run(resolver.WithoutHooks(ctx), call) // it must not wait for itself
	if err == nil {
		err = n.learn(g, said)
	}
	switch {
	case err != nil:
		g.failed = because(ErrNoService, "nobody serves %s, and the hook that should change that fails: %v", call.Service, err)
		g.err = g.failed
		close(g.ran)
	default:
		close(g.ran)
		if !n.appears(ctx, g) {
			g.err = because(ErrNoService, "nobody serves %s: its hook ran, but no instance was there within %v", call.Service, g.key.rule.Hook.timeout())
		}
	}
	if g.err != nil {
		n.log.Warn("a hook was in vain", "service", call.Service, "error", g.err)
	}
	for _, held := range n.waker.end(g, time.Now()) {
		held.answer.passed = true
		select {
		case n.openers.queue <- held.answer:
		case <-n.waker.ctx.Done():
			return
		}
	}
}

// learn adds rules for the instances that a hook names, in place of those that it
// named before.
func (n *Node) learn(g *waking, said hook.Answer) error {
	old := n.saidBy(g.key)
	for _, addr := range said.Forward {
		p := sal.Prefix{ID: g.key.service, Bits: wholeName}
		r := &rule{name: g.name, saidBy: g.key, Rule: Rule{Service: g.name.String(), Action: servicetable.Forward, Expires: time.Now().Add(said.TTL)}}
		r.Next = append(r.Next, addr)
		if g.name.IsZero() {
			r.Service = p.String()
		}
		if err := r.checkNext(); err != nil {
			return err
		}
		if err := n.enter(r, p); err != nil {
			return err
		}
	}
	for _, id := range old {
		n.RemoveRule(id) // or it has expired
	}
	return nil
}

// saidBy returns the rules that a hook's last answer made.
func (n *Node) saidBy(key wakingKey) (ids []uint64) {
	n.rules.mu.Lock()
	defer n.rules.mu.Unlock()
	for id, r := range n.rules.all {
		if r.saidBy == key {
			ids = append(ids, id)
		}
	}
	return ids
}

// wholeName is the length of the prefix of a name that is no wildcard.
var wholeName = sal.MustParseName("svc:serval").Prefix().Bits

// appears waits until a dial that waits has found an instance or, if none does,
// until the service table leads to one.
func (n *Node) appears(ctx context.Context, g *waking) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for g.dials.Load() > 0 || n.delayed(g.key.service) == g.key.rule {
		select {
		case <-tick.C:
		case <-g.seen:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// delayed returns the DELAY rule that a first packet meets before anything that
// leads somewhere or drops it, nil if none.
func (n *Node) delayed(id sal.ServiceID) *rule {
	for set := range n.services.Matches(id) {
		for _, r := range set.Rules() {
			switch r.Action {
			case servicetable.Delay:
				if n.holds(r.Target.rule) {
					return r.Target.rule
				}
			case servicetable.Drop, servicetable.Forward:
				return nil
			case servicetable.Demux:
				if !r.Target.listener.census.refuses() {
					return nil
				}
			}
		}
	}
	return nil
}

// holds reports whether a rule is for first packets: what a hook outside of this
// program starts is elsewhere, where only a node leads them that forwards.
func (n *Node) holds(r *rule) bool { return r != nil && (n.cfg.Forward || r.Hook.Call != nil) }

// hold keeps a first packet for which there is no listener, no says why, if a
// DELAY rule is for it. If one is but cannot keep it, code is how to refuse it.
func (n *Node) hold(a *answer, syn *sal.SYN, no sal.RefuseCode) (held bool, code sal.RefuseCode) {
	if a.passed || no == sal.Overloaded {
		return false, 0
	}
	r := n.delayed(syn.Service)
	if r == nil {
		return false, 0
	}
	name := r.name
	if name.IsWildcard() {
		name = sal.Name{}
	}
	r.count(len(a.pkt))
	w := &n.waker
	w.mu.Lock()
	defer w.mu.Unlock()
	g, err := w.begin(wakingKey{r, syn.Service.WithKey(0)}, name, false, time.Now(), n.run)
	switch {
	case err == nil && w.hold(g, a, syn.Flow):
		return true, 0
	case err == nil || errors.Is(err, ErrRefused):
		return false, sal.Overloaded
	case errors.Is(err, ErrClosed):
		return false, sal.ShuttingDown
	}
	return false, sal.NoService
}

// awaken lets a dial wait for the hook of a rule, and then for what look finds
// that comes before the rule.
func (n *Node) awaken(ctx context.Context, r *rule, name sal.Name, look func() bool) error {
	w := &n.waker
	w.mu.Lock()
	g, err := w.begin(wakingKey{r, name.ServiceID()}, name, true, time.Now(), n.run)
	w.mu.Unlock()
	if err != nil {
		return err
	}
	defer g.dials.Add(-1)
	select {
	case <-g.ran:
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.failed != nil {
		return g.failed
	}
	for wait := 5 * time.Millisecond; !look(); wait = min(2*wait, 100*time.Millisecond) {
		select {
		case <-time.After(wait):
		case <-g.over:
			if look() {
				return nil
			}
			return g.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case g.seen <- struct{}{}: // others wait as well
	default:
	}
	return nil
}

// rouse is known for a dial: it lets the hook of a DELAY rule run first.
func (n *Node) rouse(ctx context.Context, name sal.Name, w choice) ([]resolver.Candidate, error) {
	n.countDial(name, w)
	found, delay, err := n.known(ctx, name, w)
	if delay == nil || resolver.HooksOff(ctx) {
		return found, err
	}
	var ran time.Time
	herr := n.awaken(ctx, delay, name, func() bool {
		var again *rule
		found, again, err = n.known(ctx, name, w)
		if ran.IsZero() {
			ran = time.Now()
		}
		return err == nil && (again == nil || delay.hasSome(found) && time.Since(ran) > revival)
	})
	if herr == nil || len(found) > 0 { // there may be more under a shorter prefix
		return found, err
	}
	return nil, herr
}

// revival is how long a dial waits, when a hook has run, for better instances than
// those that did not answer. They may be well, or the hook has made them so.
const revival = time.Second

// hasSome reports whether instances are known under the rule's prefix or a longer
// one.
func (r *rule) hasSome(found []resolver.Candidate) bool {
	bits := int(min(r.entries[0].Prefix.Bits, wholeName))
	return slices.ContainsFunc(found, func(c resolver.Candidate) bool { return c.Bits >= bits })
}

// countDial notes that rules were used for a dial: those of the longest prefix.
func (n *Node) countDial(name sal.Name, w choice) {
	if set := n.services.Lookup(name.ServiceID().WithKey(w.key)); set != nil {
		for _, r := range set.Rules() {
			if r.Target.rule != nil {
				r.Count(0)
			}
		}
	}
}

// Resolve returns the instances that a dial by this node would choose from, and
// does for them what a dial does: rules count, and hooks of DELAY rules run. With
// that a Node is a resolver.Resolver for others, whom its rules concern as well.
func (n *Node) Resolve(ctx context.Context, service sal.Name) ([]resolver.Instance, error) {
	found, err := n.rouse(ctx, service, choice{})
	switch {
	case errors.Is(err, ErrNoService):
		return nil, &resolver.ReasonError{Kind: resolver.ErrNoService, Text: err.Error()}
	case errors.Is(err, ErrRefused):
		return nil, &resolver.ReasonError{Kind: resolver.ErrRefused, Text: err.Error()}
	case err != nil:
		return nil, err
	case len(found) == 0 && resolver.HooksOff(ctx) && n.ruled(service, choice{}).delay != nil:
		return nil, &resolver.DelayedError{Service: service}
	case len(found) == 0:
		return nil, &resolver.NoServiceError{Service: service}
	}
	slices.SortStableFunc(found, func(a, b resolver.Candidate) int {
		if a.Bits == b.Bits && a.Rule != b.Rule {
			if a.Rule {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Bits, a.Bits)
	})
	out := make([]resolver.Instance, len(found))
	for i, c := range found {
		out[i] = c.Instance
		out[i].Rule = c.Rule
	}
	return out, nil
}
