package lab

import (
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// config is what an interface has when nothing is wrong with it: addresses and
// the routes through it. The kernel forgets parts of it when the interface goes
// down; apply brings all of it back.
type config struct {
	addrs    []netip.Prefix // at most one per family, IPv4 first
	gateways []netip.Addr   // at most one per family
	beyond   []netip.Prefix // networks behind the gateways
	metric   int            // of default routes in the main table; 0: there are none
	table    int            // for packets from the addresses, if not 0
}

// everything is the prefix of a default route.
func everything(a netip.Addr) netip.Prefix {
	return netip.PrefixFrom(a, 0).Masked()
}

// routes returns all routes through the interface but those the kernel makes.
func (c *config) routes(link int) []*netlink.Route {
	var routes []*netlink.Route
	add := func(dst netip.Prefix, gw netip.Addr, table, metric int) {
		routes = append(routes, &netlink.Route{
			LinkIndex: link, Dst: ipNet(dst), Gw: gw.AsSlice(), Table: table, Priority: metric,
		})
	}
	for _, gw := range c.gateways {
		for _, p := range c.beyond {
			if p.Addr().Is4() == gw.Is4() {
				add(p, gw, unix.RT_TABLE_MAIN, 0)
			}
		}
		if c.metric > 0 {
			add(everything(gw), gw, unix.RT_TABLE_MAIN, c.metric)
		}
		if c.table > 0 {
			add(everything(gw), gw, c.table, 0)
		}
	}
	return routes
}

// rules returns the source rules.
func (c *config) rules() []*netlink.Rule {
	if c.table == 0 {
		return nil
	}
	var rules []*netlink.Rule
	for _, a := range c.addrs {
		r := netlink.NewRule()
		r.Priority, r.Table, r.Family = 1000, c.table, family(a.Addr())
		r.Src = ipNet(netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
		rules = append(rules, r)
	}
	return rules
}

// apply enables the interface and gives it all of its configuration, or what is
// missing of it.
func (i *Iface) apply() error {
	nl, c := i.host.nl, &i.config
	if err := nl.LinkSetUp(i.link); err != nil {
		return i.explain("enable", err)
	}
	if i.bare {
		return nil
	}
	for _, a := range c.addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := exists(nl.AddrAdd(i.link, addr)); err != nil {
			return i.explain("address for", err)
		}
	}
	for _, r := range c.rules() {
		if err := exists(nl.RuleAdd(r)); err != nil {
			return i.explain("source rule for", err)
		}
		// An interface that goes down takes its routes with it, and packets from
		// its address would leave by another one.
		err := exists(nl.RouteAdd(&netlink.Route{
			Dst: ipNet(everything(ipPrefix(r.Src).Addr())), Table: c.table, Type: unix.RTN_UNREACHABLE, Priority: 1 << 24,
		}))
		if err != nil {
			return i.explain("unreachable route for", err)
		}
	}
	for _, r := range c.routes(i.link.Attrs().Index) {
		if err := exists(nl.RouteAdd(r)); err != nil {
			return i.explain("route through", err)
		}
	}
	return nil
}

// removeAddrs takes the addresses away; with the last one go the routes.
func (i *Iface) removeAddrs() error {
	for _, a := range i.config.addrs {
		if err := gone(i.host.nl.AddrDel(i.link, &netlink.Addr{IPNet: ipNet(a)})); err != nil {
			return i.explain("remove the address of", err)
		}
	}
	// IPv6 keeps routes without an address to send from.
	for _, r := range i.config.routes(i.link.Attrs().Index) {
		if err := gone(i.host.nl.RouteDel(r)); err != nil {
			return i.explain("remove a route through", err)
		}
	}
	return nil
}

// removeRules takes the source rules away.
func (i *Iface) removeRules() error {
	for _, r := range i.config.rules() {
		if err := gone(i.host.nl.RuleDel(r)); err != nil {
			return i.explain("remove the source rule of", err)
		}
	}
	return nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// haveIPv6 reports whether the kernel does IPv6.
func haveIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// of keeps the prefixes of the wanted families.
func of(f Family, prefixes ...netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(prefixes, func(p netip.Prefix) bool {
		return p.Addr().Is4() && f == IPv6 || p.Addr().Is6() && f == IPv4
	})
}
