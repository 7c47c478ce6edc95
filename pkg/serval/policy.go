package serval

import (
	"fmt"
	pathpkg "path"
	"slices"
	"strings"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/pkg/sal"
)

// Mode is how a connection uses its flows.
type Mode uint8

const (
	// Automatic leaves it to the peer, and is Aggregate if the peer leaves it
	// to us.
	Automatic Mode = iota
	// Aggregate sends over all flows of the lowest cost at once.
	Aggregate
	// Failover sends over the best flow and keeps the others warm.
	Failover
	// Redundant sends everything over every flow: the loss of one path is not
	// felt, at twice the traffic.
	Redundant
	// Pinned sends over the flows of one interface only.
	Pinned
)

var modeNames = [...]string{"automatic", "aggregate", "failover", "redundant", "pinned"}

// String returns "aggregate", "failover" and so on.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// Policy says how a connection uses its paths, in both directions: it is told to
// the peer, whose own explicit policy prevails for what the peer sends.
type Policy struct {
	Mode      Mode
	Interface string // for Pinned: the interface's name, such as "wlan0"
}

// String returns what ParsePolicy reads, such as "failover" or "pinned(wlan0)".
func (p Policy) String() string {
	if p.Mode == Pinned {
		return "pinned(" + p.Interface + ")"
	}
	return p.Mode.String()
}

// ParsePolicy reads "automatic", "aggregate", "failover", "redundant" or
// "pinned(IFACE)", also written "pinned:IFACE".
func ParsePolicy(s string) (Policy, error) {
	for m, name := range modeNames[:Pinned] {
		if s == name {
			return Policy{Mode: Mode(m)}, nil
		}
	}
	name, ok := strings.CutPrefix(s, "pinned:")
	if !ok {
		if name, ok = strings.CutPrefix(s, "pinned("); ok {
			name, ok = strings.CutSuffix(name, ")")
		}
	}
	p := Policy{Mode: Pinned, Interface: name}
	if !ok || p.check() != nil {
		return Policy{}, fmt.Errorf("serval: path policy %q is unknown; write automatic, aggregate, failover, redundant or pinned(IFACE)", s)
	}
	return p, nil
}

// MarshalText returns what String does.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses what ParsePolicy does.
func (p *Policy) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePolicy(string(text))
	return err
}

func (p Policy) check() error {
	switch {
	case p.Mode > Pinned:
		return fmt.Errorf("serval: path policy has no mode %d; use one of the constants of Mode", uint8(p.Mode))
	case p.Mode == Pinned && p.Interface == "":
		return fmt.Errorf("serval: path policy pins to no interface; set Policy.Interface, to \"wlan0\" for example")
	case p.Mode != Pinned && p.Interface != "":
		return fmt.Errorf("serval: path policy %v takes no interface; use Pinned to stay on %s", p.Mode, p.Interface)
	}
	return nil
}

// flowset is the mode of the scheduler: pinning is a matter of costs.
func (m Mode) flowset() flowset.Mode {
	switch m {
	case Aggregate, Pinned:
		return flowset.ModeAggregate
	case Failover:
		return flowset.ModeFailover
	case Redundant:
		return flowset.ModeRedundant
	}
	return flowset.ModeDefault
}

// InterfaceRule sets what using an interface costs. The first rule that matches
// an interface counts; without one an interface costs 0.
type InterfaceRule struct {
	// Name is the interface's, or a pattern as in path.Match, such as "wwan*".
	Name string
	// Cost, from 0 to 254: data takes the cheapest interfaces that work, and
	// dearer ones only when those fail.
	Cost int
	// Exclude keeps connections off the interface altogether.
	Exclude bool
}

// SetInterfaces replaces Config.Interfaces, for live connections too.
func (n *Node) SetInterfaces(rules []InterfaceRule) error {
	if err := checkRules(rules); err != nil {
		return err
	}
	s := &n.sockets
	s.mu.Lock()
	s.rules = slices.Clone(rules)
	s.mu.Unlock()
	n.refresh()
	return nil
}

func checkRules(rules []InterfaceRule) error {
	for _, r := range rules {
		if _, err := pathpkg.Match(r.Name, ""); err != nil || r.Name == "" {
			return fmt.Errorf("serval: interface rule for %q: write an interface's name or a pattern such as wwan*", r.Name)
		}
		if r.Cost < 0 || r.Cost >= sal.NeverCost {
			return fmt.Errorf("serval: interface rule for %s: cost %d is not within 0 to %d; use Exclude to keep off it", r.Name, r.Cost, sal.NeverCost-1)
		}
	}
	return nil
}

// price returns what an interface costs under the rules.
func price(rules []InterfaceRule, name string) (cost uint8, excluded bool) {
	for _, r := range rules {
		if ok, _ := pathpkg.Match(r.Name, name); ok {
			return uint8(r.Cost), r.Exclude
		}
	}
	return 0, false
}
