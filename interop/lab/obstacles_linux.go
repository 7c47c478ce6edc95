package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Priorities of the router's rules, before all routing.
const (
	blackholeRule = 1
	firewallRule  = 2
)

// guardChain is the first of the router's filters for packets it forwards.
const guardChain = "guard"

// sources returns the ports of a router through which packets of the direction
// come in.
func (d Direction) sources() []string {
	switch d {
	case ToClient:
		return []string{portServer, portThird}
	case ToServer:
		return []string{portClient}
	}
	return []string{portClient, portServer, portThird}
}

// Blackhole makes the router drop silently what it should forward. Carriers stay
// on and the router answers; packets it holds for their delay still leave.
func (w *Way) Blackhole(d Direction) error {
	return w.drop(d, blackholeRule, 0, true)
}

// Unblackhole ends Blackhole.
func (w *Way) Unblackhole(d Direction) error {
	return w.drop(d, blackholeRule, 0, false)
}

// Firewall makes the router drop all UDP, or no longer.
func (w *Way) Firewall(on bool) error {
	return w.drop(BothWays, firewallRule, unix.IPPROTO_UDP, on)
}

// drop adds or removes routing rules, which takes a fraction of the time of
// filter rules.
func (w *Way) drop(d Direction, priority, protocol int, on bool) error {
	for _, port := range d.sources() {
		for _, f := range w.net.topology.Family.families() {
			r := netlink.NewRule()
			r.Priority, r.IifName, r.Family, r.IPProto, r.Type = priority, port, f, protocol, unix.RTN_BLACKHOLE
			var err error
			if on {
				err = exists(w.Router.nl.RuleAdd(r))
			} else {
				err = gone(w.Router.nl.RuleDel(r))
			}
			if err != nil {
				return fmt.Errorf("lab: drop packets from %s in %s: %w", port, w.Router.Name, err)
			}
		}
	}
	return nil
}

func (f Family) families() []int {
	switch f {
	case IPv4:
		return []int{unix.AF_INET}
	case IPv6:
		return []int{unix.AF_INET6}
	}
	return []int{unix.AF_INET, unix.AF_INET6}
}

// SetNAT hides the client's side of the path behind the router's addresses, or no
// longer. Translations made before are forgotten.
func (w *Way) SetNAT(kind NAT) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nat, w.rebinds = kind, 0
	return w.translate()
}

// Rebind makes the NAT forget its translations, as one that was restarted: the
// next packets of every socket leave from other ports. After it a PortKeeping
// NAT keeps ports no longer, nor one mapping per socket.
func (w *Way) Rebind() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nat == NoNAT {
		return fmt.Errorf("lab: %s has no NAT to rebind", w.Router.Name)
	}
	w.rebinds++
	return w.translate()
}

func (w *Way) translate() error {
	rules := "*nat\n-F POSTROUTING\n"
	for _, port := range []string{portServer, portThird} {
		how := ""
		if w.rebinds > 0 {
			// Another range of ports each time, or the old ones might come back.
			low := 20000 + 1000*(w.rebinds%40)
			how = fmt.Sprintf(" -p udp --to-ports %d-%d", low, low+999)
		}
		if w.nat == SymmetricNAT {
			how += " --random"
		}
		if w.nat != NoNAT {
			rules += "-A POSTROUTING -o " + port + " -j MASQUERADE" + how + "\n"
			if w.rebinds > 0 {
				rules += "-A POSTROUTING -o " + port + " -j MASQUERADE\n"
			}
		}
	}
	// Packets to a forgotten mapping must not be refused by the router itself,
	// nor keep its port busy.
	rules += "COMMIT\n*filter\n-F INPUT\n-F " + guardChain + "\n"
	if w.nat != NoNAT {
		rules += "-A INPUT -p udp -j DROP\n"
		// Nor does anybody outside reach an inside address.
		rules += "-A " + guardChain + " -o " + portClient + " -m conntrack --ctstate NEW,INVALID -j DROP\n"
	}
	rules += "COMMIT\n"
	if err := w.Router.tables(w.net.topology.Family, rules); err != nil {
		return err
	}
	if err := w.Router.nl.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("lab: forget the translations of %s: %w", w.Router.Name, err)
	}
	return nil
}
