package outbound

import (
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// Rule says how clients reach the services that a name covers.
type Rule struct {
	// Name is a service, or a wildcard such as "svc:shop/*" or "svc:*".
	Name sal.Name
	// Clients restricts the rule to clients at these addresses; none means all.
	Clients []netip.Prefix

	// Deny refuses them.
	Deny bool
	// Policy is how connections use their paths; Automatic leaves it to the node.
	Policy serval.Policy
	// NoPin lets each connection go to an instance chosen anew.
	NoPin bool
	// Timeout bounds a dial; 0 is Config.Timeout.
	Timeout time.Duration
}

func (r *Rule) fits(name sal.Name, c Client) bool {
	if !r.Name.Covers(name) {
		return false
	}
	addr := c.Addr.Addr().Unmap()
	return len(r.Clients) == 0 || slices.ContainsFunc(r.Clients, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// rule returns the first rule that fits, and false if what no rule fits is denied.
func (c *Config) rule(name sal.Name, by Client) (Rule, bool) {
	for i := range c.Rules {
		if c.Rules[i].fits(name, by) {
			return c.Rules[i], true
		}
	}
	return Rule{}, !c.DenyOthers
}

// Allowed reports whether the rules let a client use a service.
func (o *Outbound) Allowed(c Client, service sal.Name) bool {
	cfg := o.config()
	r, ok := cfg.rule(service, c)
	return ok && !r.Deny
}
