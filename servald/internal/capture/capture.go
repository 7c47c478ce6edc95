// Package capture takes connections that programs open to some addresses, by rules of
// the kernel's packet filter, and leads them to services: for programs that cannot be
// told of a proxy, on hosts without a TUN or that route for others.
//
//	program ── connect(address) ── nftables ── our listener ── Handler
//
// There are two ways. Redirect changes the destination to a port of ours, which asks
// the kernel for the one that was meant; it is for TCP. TPROXY leaves packets as they
// are, and hands them to a socket of ours that takes those for every address; it is
// for TCP and UDP.
//
// The rules are in tables of our own, called serval_PID_NUMBER, which belong to a
// process that lives as long as we do: the kernel removes them with it, even when
// servald is killed. On kernels before 5.12 [Sweep] does so at the next start.
package capture

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/serval-net/serval/servald/internal/tun"
)

// Modes of a Config.
const (
	Redirect = "redirect"
	TPROXY   = "tproxy"
)

// From whom is captured.
const (
	Host    = "host"    // programs of this host
	Clients = "clients" // hosts for which this one routes
	Both    = "both"
)

// Config says what is captured. To and Handler are required.
type Config struct {
	Mode string // Redirect or TPROXY; "" is Redirect
	From string // Host, Clients or Both; "" is Host

	// To is addresses, and Ports which of their ports; none is all. Users restricts
	// what is from this host to programs of these users, names or numbers; none is
	// all. What servald opens to servers itself is never captured.
	To    []netip.Prefix
	Ports []uint16
	Users []string

	// Handler leads to services. Its Ping is not used: echo requests are not captured.
	Handler tun.Handler

	// Max is how many connections there are at once, and how many flows of datagrams;
	// 0 is 16384 and 4096. UDPIdle is how long flows are kept that nobody uses; 0 is 2
	// minutes.
	Max     int
	UDPIdle time.Duration

	Log *slog.Logger // nil discards
}

func (c Config) withDefaults() (Config, error) {
	c.Mode, c.From = cmp.Or(c.Mode, Redirect), cmp.Or(c.From, Host)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Mode != Redirect && c.Mode != TPROXY:
		return c, fmt.Errorf("capture: there is no mode %q; choose %s or %s", c.Mode, Redirect, TPROXY)
	case c.From != Host && c.From != Clients && c.From != Both:
		return c, fmt.Errorf("capture: there is no traffic from %q; choose %s, %s or %s", c.From, Host, Clients, Both)
	case len(c.To) == 0:
		return c, errors.New("capture: say the traffic to which addresses is captured")
	case c.Handler == nil:
		return c, errors.New("capture: a Handler is required")
	}
	for _, p := range c.To {
		if err := CheckPrefix(p); err != nil {
			return c, fmt.Errorf("capture: %w", err)
		}
	}
	return c, nil
}

// CheckPrefix says why connections to some addresses cannot be captured.
func CheckPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid() || p.Bits() == 0:
		return fmt.Errorf("%v is everything, and would take the traffic of Serval itself", p)
	case p.Overlaps(loopback4) || p.Contains(netip.IPv6Loopback()):
		return fmt.Errorf("%v has addresses of this host only, whose connections are not captured", p)
	}
	return nil
}

var loopback4 = netip.MustParsePrefix("127.0.0.0/8")

// ports is where the listeners are.
type ports struct{ v4, v6 uint16 } // 0 for none

// families splits prefixes by their version.
func families(list []netip.Prefix) (v4, v6 []netip.Prefix) {
	for _, p := range list {
		if p = p.Masked(); p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return v4, v6
}

// userIDs is the numbers or names of users as nft takes them, which are the only words
// from outside that come into the rules.
func userIDs(users []string, lookup func(name string) (uid string, err error)) ([]string, error) {
	var ids []string
	for _, u := range users {
		if _, err := strconv.ParseUint(u, 10, 32); err != nil {
			id, err := lookup(u)
			if err != nil {
				return nil, fmt.Errorf("capture: %w", err)
			}
			if _, err := strconv.ParseUint(id, 10, 32); err != nil {
				return nil, fmt.Errorf("capture: user %q has no number", u)
			}
			u = id
		}
		if !slices.Contains(ids, u) {
			ids = append(ids, u)
		}
	}
	return ids, nil
}
