package serval

import (
	"time"

	"github.com/serval-net/serval/internal/hook"
	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// Rules implements nodectl.Node.
func (n steered) Rules() []nodectl.Rule {
	out := []nodectl.Rule{}
	for _, r := range n.Node.Rules() {
		s := nodectl.Rule{ID: r.ID, Service: r.Service, Keys: r.Keys, Action: r.Action.String(), Priority: r.Priority,
			Weight: max(r.Weight, 1), Next: r.Next, Packets: r.Packets, Bytes: r.Bytes}
		if !r.Expires.IsZero() {
			s.TTL = nodectl.Duration(max(time.Until(r.Expires), time.Millisecond))
		}
		if r.Action == servicetable.Delay {
			h := r.Hook.outside()
			if r.Hook.Call != nil {
				h = hook.Hook{Command: []string{r.Hook.String()}}
			}
			s.Hook, s.Timeout = &h, nodectl.Duration(r.Hook.timeout())
		}
		out = append(out, s)
	}
	return out
}

// actions are those that a rule may have, by name.
var actions = map[string]servicetable.Action{
	nodectl.Forward: servicetable.Forward, nodectl.Delay: servicetable.Delay, nodectl.Drop: servicetable.Drop,
}

// AddRule implements nodectl.Node.
func (n steered) AddRule(r nodectl.Rule) (uint64, error) {
	added := Rule{Service: r.Service, Keys: r.Keys, Action: actions[r.Action], Priority: r.Priority, Weight: r.Weight,
		Next: r.Next, Expires: r.Expires(time.Now())}
	if r.Hook != nil {
		added.Hook = Hook{Command: r.Hook.Command, URL: r.Hook.URL, Timeout: time.Duration(r.Timeout)}
	}
	return n.Node.AddRule(added)
}

// RemoveRules implements nodectl.Node.
func (n steered) RemoveRules(which nodectl.RuleSelection) (removed int, err error) {
	if which.ID != 0 {
		if err := n.RemoveRule(which.ID); err != nil {
			return 0, err
		}
		return 1, nil
	}
	name, err := sal.ParseName(which.Service)
	if err != nil {
		return 0, err
	}
	for _, r := range n.Node.Rules() {
		if r.Service == name.String() && n.RemoveRule(r.ID) == nil {
			removed++
		}
	}
	return removed, nil
}
