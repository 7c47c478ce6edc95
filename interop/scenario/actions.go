package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/serval-net/serval/interop/lab"
)

// The names of values in text.
var (
	directions = map[string]lab.Direction{"up": lab.ToServer, "down": lab.ToClient}
	nats       = map[string]lab.NAT{"off": lab.NoNAT, "keep": lab.PortKeeping, "symmetric": lab.SymmetricNAT}
	switches   = map[string]bool{"on": true, "off": false}
)

// at reads an event.
func (p *parser) at(args []string) (err error) {
	if len(args) < 2 {
		return errors.New("want: at TIME ACTION")
	}
	e := Event{Action: Action{Verb: Verb(args[1])}}
	if e.At, err = parseTime(args[0]); err != nil {
		return err
	}
	if err := p.action(&e.Action, args[2:]); err != nil {
		return err
	}
	p.s.Events = append(p.s.Events, e)
	return nil
}

func (p *parser) action(a *Action, args []string) (err error) {
	if a.Verb == Tell {
		if len(args) < 2 {
			return errors.New("want: tell client|server TEXT")
		}
		a.Tell = strings.Join(args[1:], " ")
		return choose(args[:1], &a.Host, map[string]Host{"client": Client, "server": Server})
	}
	if len(args) == 0 {
		return fmt.Errorf("%s: want a path or an interface after it", a.Verb)
	}
	name, rest := args[0], args[1:]
	switch a.Verb {
	case Down, Up, Cut, Mend, Remove, Add, Swap, Move, Flap, Calm:
		a.Host = Client
		if host, path, ok := strings.Cut(name, "."); ok {
			name = path
			if a.Host = Host(host); a.Host != Client && a.Host != Server {
				return fmt.Errorf("unknown host %q; want client or server", host)
			}
		}
	}
	if a.Path, err = p.pathNumber(name); err != nil {
		return err
	}
	switch a.Verb {
	case Down, Up, Cut, Mend, Remove, Add, Calm, Rebind:
		if len(rest) > 0 {
			return fmt.Errorf("%s: unexpected %q", a.Verb, rest[0])
		}
	case Swap:
		if len(rest) > 0 {
			return choose(rest, &a.Other, map[string]bool{"network": true})
		}
	case Move:
		if len(rest) != 1 {
			return errors.New("want: move IFACE PATH")
		}
		a.To, err = p.pathNumber(rest[0])
	case Flap:
		if len(rest) != 1 {
			return errors.New("want: flap IFACE PERIOD")
		}
		a.Period, err = parseTime(rest[0])
	case Blackhole, Unblackhole:
		if len(rest) > 0 {
			return choose(rest, &a.Direction, directions)
		}
	case Firewall:
		return choose(rest, &a.On, switches)
	case Translate:
		return choose(rest, &a.NAT, nats)
	case Set:
		if len(rest) == 0 {
			return errors.New("want: set PATH, then a rate, a time or NAME VALUE")
		}
		if a.Set, err = parseChanges(rest); err == nil && slices.ContainsFunc(a.Set, func(c Change) bool { return c.What == "nat" }) {
			return errors.New("want: nat PATH KIND, for that")
		}
	default:
		return fmt.Errorf("unknown action %q", a.Verb)
	}
	return err
}

// String returns the action as Parse reads it.
func (a Action) String() string {
	if a.Verb == Tell {
		return fmt.Sprintf("tell %s %s", a.Host, a.Tell)
	}
	words := []string{string(a.Verb), pathName(a.Path)}
	if a.Host == Server {
		words[1] = "server." + words[1]
	}
	add := func(word string) { words = append(words, word) }
	switch a.Verb {
	case Swap:
		if a.Other {
			add("network")
		}
	case Move:
		add(pathName(a.To))
	case Flap:
		add(a.Period.String())
	case Blackhole, Unblackhole:
		if a.Direction != lab.BothWays {
			add(nameOf(directions, a.Direction))
		}
	case Firewall:
		add(nameOf(switches, a.On))
	case Translate:
		add(nameOf(nats, a.NAT))
	case Set:
		for _, c := range a.Set {
			add(c.String())
		}
	}
	return strings.Join(words, " ")
}

func nameOf[T comparable](names map[string]T, v T) string {
	for name, value := range names {
		if value == v {
			return name
		}
	}
	return "?"
}
