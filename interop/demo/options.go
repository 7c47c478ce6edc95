//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/serval-net/serval/interop/scenario"
	"github.com/serval-net/serval/pkg/serval"
)

// spec tells a process what to be.
type spec struct {
	Role    string // "client", "server" or "rendezvous"
	Options options
	// Addrs is where the server is, for the client; where to listen, for a
	// rendezvous.
	Addrs      []netip.AddrPort
	Rendezvous []netip.AddrPort
}

// options are a scenario's "use" lines.
type options struct {
	Up, Down bool   // who sends; the default is Down
	Streams  int    // connections in each direction, default 1
	Policy   string // of both ends, as in serval.ParsePolicy
	MaxFlows int
	Start    string                 // the interface that the client's connections are moved to at first
	Costs    []serval.InterfaceRule // of the client
}

func parseOptions(s *scenario.Scenario) (o options, err error) {
	o = options{Down: true, Streams: 1}
	for key, value := range s.Options {
		switch key {
		case "traffic":
			o.Up, o.Down = value == "up" || value == "both", value == "down" || value == "both"
			if !o.Up && !o.Down {
				err = fmt.Errorf("want up, down or both")
			}
		case "streams":
			o.Streams, err = number(value, 100)
		case "maxflows":
			o.MaxFlows, err = number(value, 16)
		case "start":
			o.Start = value
		case "policy":
			_, err = serval.ParsePolicy(value)
			o.Policy = value
		case "cost":
			o.Costs, err = parseCosts(value)
		default:
			err = fmt.Errorf("unknown; want traffic, streams, maxflows, start, policy or cost")
		}
		if err != nil {
			return o, fmt.Errorf("use %s %s: %w", key, value, err)
		}
	}
	return o, nil
}

func number(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("want a number from 1 to %d", most)
	}
	return n, nil
}

// parseCosts reads words such as eth2=10.
func parseCosts(s string) (rules []serval.InterfaceRule, err error) {
	for _, word := range strings.Fields(s) {
		name, cost, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(cost, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("%q is no cost such as eth2=10", word)
		}
		rules = append(rules, serval.InterfaceRule{Name: name, Cost: int(n)})
	}
	return rules, nil
}

func (s spec) String() string {
	b, _ := json.Marshal(s) // of plain fields
	return string(b)
}
