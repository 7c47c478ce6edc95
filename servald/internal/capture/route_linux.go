package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// route leads packets with a mark to this host's sockets, whatever their address.
func route(number uint32, at ports) error {
	lo, err := loopback()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		family int
		port   uint16
		bits   int
	}{{unix.AF_INET, at.v4, 32}, {unix.AF_INET6, at.v6, 128}} {
		if f.port == 0 {
			continue
		}
		err := netlink.RouteAdd(&netlink.Route{LinkIndex: lo, Family: f.family, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
			Table: int(number), Dst: &net.IPNet{IP: make(net.IP, f.bits/8), Mask: net.CIDRMask(0, f.bits)}})
		if err == nil {
			err = netlink.RuleAdd(rule(f.family, number))
		}
		if err != nil {
			return fmt.Errorf("capture: leading packets here: %w", err)
		}
	}
	return nil
}

func rule(family int, number uint32) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Mark, r.Table = family, number, int(number)
	return r
}

// loopback is the index of the interface.
func loopback() (int, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return 0, fmt.Errorf("capture: loopback: %w", err)
	}
	return lo.Attrs().Index, nil
}

// unroute undoes route, also where that came half-way.
func unroute(number uint32) error {
	var errs []error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		err := netlink.RuleDel(rule(family, number))
		if err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EAFNOSUPPORT) {
			errs = append(errs, fmt.Errorf("capture: removing a routing rule: %w", err))
		}
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: int(number)}, netlink.RT_FILTER_TABLE)
		if err != nil {
			continue
		}
		for _, r := range routes {
			if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, fmt.Errorf("capture: removing a route: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

// Sweep removes what servalds that were killed have left: routing rules, and on old
// kernels tables of rules. What belongs to processes that live stays. It does nothing
// without the right to.
func Sweep(ctx context.Context) error {
	if unix.Geteuid() != 0 {
		return nil
	}
	numbers := make(map[uint32]bool) // that are in use
	var errs []error
	if list, err := nft(ctx, "", "list", "tables", "inet"); err == nil {
		for line := range strings.Lines(list) {
			t, ok := parseTable(strings.TrimPrefix(strings.TrimSpace(line), "table inet "))
			switch {
			case !ok:
			case unix.Kill(t.pid, 0) == unix.ESRCH:
				_, err := nft(ctx, "", "delete", "table", "inet", t.String())
				errs = append(errs, err)
			default:
				numbers[t.number] = true
			}
		}
	}
	rules, err := netlink.RuleList(unix.AF_UNSPEC)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, r := range rules {
		if number := r.Mark; number&0xffff0000 == numberBase && r.Table == int(number) && !numbers[number] {
			numbers[number] = true // once
			errs = append(errs, unroute(number))
		}
	}
	return errors.Join(errs...)
}
