package serval

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// explaining collects the steps of one explanation.
type explaining struct {
	node *Node
	name sal.Name
	want choice
	nodectl.Explanation
}

// Explain implements nodectl.Node.
func (n steered) Explain(ctx context.Context, q nodectl.Question) (nodectl.Explanation, error) {
	e := explaining{node: n.Node, Explanation: nodectl.Explanation{Node: n.ID().String(), Steps: []nodectl.Step{},
		Candidates: []nodectl.Candidate{}, Refusals: []nodectl.Refusal{}, Outcome: nodectl.NoService}}
	var err error
	if e.name, err = sal.ParseName(q.Service); err != nil {
		return e.Explanation, err
	}
	if e.want.balance, err = resolver.ParseBalance(q.Balance); err != nil {
		return e.Explanation, err
	}
	if q.Key != "" {
		e.want.keyed, e.want.key = true, resolver.HashKey(q.Key)
	}
	id := e.name.ServiceID().WithKey(e.want.key)
	e.Service, e.ServiceID = e.name.String(), hex.EncodeToString(id[:])
	e.named()
	if e.permitted() {
		e.rules(id)
		e.decide(ctx)
	}
	for _, r := range n.refusals.of(e.name) {
		e.Refusals = append(e.Refusals, nodectl.Refusal{Time: r.at, Service: e.Service, Addr: r.addr, Why: r.why.Error()})
	}
	return e.Explanation, nil
}

func (e *explaining) step(what, format string, args ...any) {
	e.Steps = append(e.Steps, nodectl.Step{Step: what, Text: fmt.Sprintf(format, args...)})
}

// named says what the name is on the wire.
func (e *explaining) named() {
	text := fmt.Sprintf("%s has the service ID %s", e.Service, e.ServiceID)
	if e.want.keyed {
		text += "; its last 16 digits are the hash of the key"
	}
	e.step(nodectl.StepName, "%s", text)
}

// permitted reports whether the node may dial the name at all.
func (e *explaining) permitted() bool {
	self := e.node.id.Peer()
	invalid := self.Valid(time.Now())
	switch {
	case e.name.IsWildcard():
		e.step(nodectl.StepOutcome, "a dial fails: %s stands for many services and can only be served", e.Service)
	case invalid != nil:
		e.Outcome = nodectl.Unauthorized
		e.step(nodectl.StepPermission, "this node's membership is not valid: %v", invalid)
	case !self.MayDial(e.name):
		e.Outcome = nodectl.Unauthorized
		e.step(nodectl.StepPermission, "this node's certificate does not allow it to dial %s; join with a token that does", e.Service)
	default:
		e.step(nodectl.StepPermission, "this node's certificate allows it to dial %s", e.Service)
		return true
	}
	return false
}

// maxExplained bounds the rules and candidates that an explanation lists.
const maxExplained = 100

// rules lists the rules of the service table that the dial meets, in their order.
func (e *explaining) rules(id sal.ServiceID) {
	n, end := 0, false
	for set := range e.node.services.Matches(id) {
		for _, r := range set.Rules() {
			if n++; n > maxExplained || end {
				continue
			}
			e.step(nodectl.StepRule, "%s", describeRule(r))
			end = r.Action == servicetable.Drop
		}
	}
	switch {
	case n == 0:
		e.step(nodectl.StepRule, "no rule of this node's service table is for it")
	case n > maxExplained:
		e.step(nodectl.StepRule, "and %d more", n-maxExplained)
	}
}

func describeRule(r *servicetable.Rule[target]) string {
	t := &r.Target
	switch {
	case t.listener != nil:
		return fmt.Sprintf("%v: DEMUX to a listener of this very process", t.listener.name)
	case t.learnt != nil:
		in := t.learnt.Load()
		return fmt.Sprintf("%v: FORWARD to %s, as registered, priority %d, weight %d", in.Service, addrList(in.Addrs), in.Priority, max(in.Weight, 1))
	case t.rule == nil:
		return fmt.Sprintf("%v: %v", r.Prefix, r.Action)
	}
	text := fmt.Sprintf("%s: %v", t.rule.Service, r.Action)
	switch r.Action {
	case servicetable.Forward:
		text += fmt.Sprintf(" to %s, priority %d, weight %d", addrList(t.addrs), r.Priority, max(r.Weight, 1))
	case servicetable.Delay:
		text += fmt.Sprintf(" until %s has found or started an instance, if nobody is known under this or a longer name", t.rule.Hook)
	case servicetable.Drop:
		text += ": who is known only under this or a shorter name does not count"
	}
	return fmt.Sprintf("%s (rule %d)", text, t.rule.ID)
}

func addrList(addrs []netip.AddrPort) string {
	list := make([]string, len(addrs))
	for i, a := range addrs {
		list[i] = a.String()
	}
	return strings.Join(list, " ")
}

// decide finds the candidates, their order, and what becomes of the dial.
func (e *explaining) decide(ctx context.Context) {
	all, delay, err := e.node.consider(resolver.WithoutHooks(ctx), e.name, e.want)
	if err != nil {
		if errors.Is(err, ErrRefused) {
			e.Outcome = nodectl.Refused
		}
		e.step(nodectl.StepOutcome, "a dial fails: %v", err)
		return
	}
	e.candidates(all)
	if delay != nil && e.hook(delay) {
		return
	}
	list := e.node.addresses(all)
	if len(list) == 0 {
		e.step(nodectl.StepOutcome, "a dial fails: %v", noCandidate(e.name, all, e.want))
		return
	}
	e.Outcome = nodectl.WouldDial
	text := fmt.Sprintf("a dial asks %s at %v first", instanceName(&list[0].from), list[0].addr)
	if len(list) > 1 {
		text += fmt.Sprintf(", and if it is silent for %v or declines, %s at %v; in all %d addresses", e.node.cfg.TryNext, instanceName(&list[1].from), list[1].addr, len(list))
	}
	e.step(nodectl.StepOutcome, "%s", text)
}

// hook says what becomes of a DELAY rule that the dial meets, and whether that
// is the end.
func (e *explaining) hook(r *rule) bool {
	w := &e.node.waker
	key := wakingKey{r, e.name.ServiceID()}
	w.mu.Lock()
	waking, back := w.wakings[key] != nil, w.setbacks[key]
	w.mu.Unlock()
	switch {
	case waking:
		e.step(nodectl.StepHook, "the hook of rule %d runs already; a dial waits for it", r.ID)
	case time.Now().Before(back.until):
		e.step(nodectl.StepHook, "the hook of rule %d is not run again before %s: %v", r.ID, back.until.Format(time.TimeOnly), back.err)
		return false
	default:
		e.step(nodectl.StepHook, "a dial runs the hook of rule %d, %s, and waits up to %v for an instance", r.ID, r.Hook, r.Hook.timeout())
	}
	e.Outcome = nodectl.WouldRun
	return true
}

// candidates lists who is known, and by which policy they are in order.
func (e *explaining) candidates(all []resolver.Verdict) {
	rules, in := 0, 0
	for i := range all {
		v := &all[i]
		if v.Rule {
			rules++
		}
		if v.Excluded == resolver.Included {
			in++
		}
		if i < maxExplained {
			c := candidateOf(v)
			if v.Excluded == resolver.Unreachable && len(e.node.cfg.Listen) > 0 {
				c.Reason = "its addresses cannot be reached from where this process listens; another process may reach them"
			}
			e.Candidates = append(e.Candidates, c)
		}
	}
	e.step(nodectl.StepResolver, "%d candidates are known by rules and %d by registration; %d of them can be asked", rules, len(all)-rules, in)
	if in == 0 {
		return
	}
	whose := "as its instances wish"
	if e.want.balance != resolver.BalanceDefault {
		whose = "as the dialler wishes"
	}
	e.step(nodectl.StepPolicy, "those under the longest name come first, then larger priorities; among equals the choice is %v, %s", all[0].Balance, whose)
}

func candidateOf(v *resolver.Verdict) nodectl.Candidate {
	c := nodectl.Candidate{Service: v.Service.String(), Addrs: v.Addrs, Rule: v.Rule, Weight: max(v.Weight, 1), Priority: v.Priority,
		Load: v.Load, RTT: nodectl.Duration(v.RTT), Standing: v.Standing.String(), Until: v.Until, Score: v.Score, Reason: v.Reason(),
		Excluded: v.Excluded != resolver.Included}
	if v.Node != (identity.NodeID{}) {
		c.Node = v.Node.String()
	}
	return c
}

// instanceName names an instance for people.
func instanceName(in *resolver.Instance) string {
	if in.Node == (identity.NodeID{}) {
		return in.Service.String()
	}
	return in.Service.String() + "#" + in.Node.Short()
}
