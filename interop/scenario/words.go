package scenario

import (
	"fmt"
	"strings"

	"github.com/serval-net/serval/interop/lab"
)

// Words says in a few words what the action does, for those who look at a plot.
func (a Action) Words() string {
	p := pathName(a.Path)
	if a.Host == Server && a.Verb != Tell {
		a.Host = Client
		return "server: " + a.Words()
	}
	way := map[lab.Direction]string{lab.ToClient: " downwards", lab.ToServer: " upwards"}[a.Direction]
	switch a.Verb {
	case Down, Up:
		return fmt.Sprintf("interface %s %s", p, a.Verb)
	case Cut:
		return fmt.Sprintf("cable %s pulled", p)
	case Mend:
		return fmt.Sprintf("cable %s back", p)
	case Remove:
		return fmt.Sprintf("address %s removed", p)
	case Add:
		return fmt.Sprintf("address %s back", p)
	case Swap:
		if a.Other {
			return fmt.Sprintf("%s renumbered, new subnet", p)
		}
		return fmt.Sprintf("address %s swapped", p)
	case Move:
		return fmt.Sprintf("to network %s", pathName(a.To))
	case Flap:
		return fmt.Sprintf("%s flaps, %v", p, a.Period)
	case Calm:
		return fmt.Sprintf("%s calm again", p)
	case Blackhole:
		return fmt.Sprintf("blackhole on %s%s", p, way)
	case Unblackhole:
		return fmt.Sprintf("%s passes again%s", p, way)
	case Firewall:
		return fmt.Sprintf("UDP on %s %s", p, map[bool]string{true: "blocked", false: "allowed"}[a.On])
	case Translate:
		return fmt.Sprintf("NAT on %s: %s", p, nameOf(nats, a.NAT))
	case Rebind:
		return fmt.Sprintf("NAT on %s rebinds", p)
	case Set:
		var changes []string
		for _, c := range a.Set {
			if c.Share > 0 {
				changes = append(changes, fmt.Sprintf("%s %.3g%%", c.What, 100*c.Share))
			} else {
				changes = append(changes, c.String())
			}
		}
		return p + ": " + strings.Join(changes, " ")
	case Tell:
		return string(a.Host) + ": " + a.Tell
	}
	return a.String()
}
