package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/serval-net/serval/pkg/sal"
)

// Foreign is which destinations besides services a proxy connects to.
type Foreign uint8

const (
	// ForeignNone is services only.
	ForeignNone Foreign = iota
	// ForeignPublic is what has a public address, too.
	ForeignPublic
	// ForeignAny is everything that this host reaches. But names other than localhost
	// that turn out to be this host or its link are refused: they are how web pages
	// reach for what is not theirs (DNS rebinding).
	ForeignAny
)

var foreignNames = [...]string{"none", "public", "any"}

// String returns "none", "public" or "any".
func (f Foreign) String() string {
	if int(f) < len(foreignNames) {
		return foreignNames[f]
	}
	return fmt.Sprintf("Foreign(%d)", uint8(f))
}

// MarshalText returns what String does.
func (f Foreign) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText parses what String returns.
func (f *Foreign) UnmarshalText(text []byte) error {
	for i, name := range foreignNames {
		if string(text) == name {
			*f = Foreign(i)
			return nil
		}
	}
	return fmt.Errorf("%q says nothing about foreign destinations; write none, public or any", text)
}

// ErrForeign: the destination is no service, and others are not allowed.
var ErrForeign = errors.New("is no service, and this proxy leads nowhere else; services are called NAME" + sal.DNSSuffix)

// errInside is a foreign destination that may not be reached by that name.
var errInside = errors.New("leads to an address that this proxy does not let clients reach that way")

// IsForeign reports whether a destination was refused because it is no service.
func IsForeign(err error) bool { return errors.Is(err, ErrForeign) || errors.Is(err, errInside) }

// Destinations connects clients that name hosts: services by their host names or their
// virtual addresses, and where that is allowed everything else. Its methods are safe
// for concurrent use.
type Destinations struct {
	Outbound *Outbound

	// Names says which service a virtual address stands for; nil knows none.
	Names interface {
		Name(netip.Addr) (sal.Name, bool)
	}

	// Foreign is which other destinations there are.
	Foreign Foreign
}

// Service returns the service that a host stands for, false if it is another host.
func (d *Destinations) Service(host string) (string, bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if d.Names == nil {
			return "", false
		}
		name, ok := d.Names.Name(addr.Unmap())
		return name.String(), ok
	}
	h := strings.TrimSuffix(strings.Map(lower, host), ".")
	return h, strings.HasSuffix(h, sal.DNSSuffix)
}

// lower maps ASCII only: Unicode has letters whose lower case is ASCII.
func lower(c rune) rune {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// Stream connects a client to a port of a host. Errors are those of Outbound.Stream, or
// satisfy IsForeign, or are of package net.
func (d *Destinations) Stream(ctx context.Context, c Client, host string, port uint16) (net.Conn, error) {
	if service, ok := d.Service(host); ok {
		return d.Outbound.Stream(ctx, c, service, port)
	}
	return d.foreign(ctx, c, "tcp", host, port)
}

// Datagrams opens a way for a client's datagrams to a host. The port is the first one.
func (d *Destinations) Datagrams(ctx context.Context, c Client, host string, port uint16) (Datagrams, error) {
	if service, ok := d.Service(host); ok {
		return d.Outbound.Datagrams(ctx, c, service, port)
	}
	conn, err := d.foreign(ctx, c, "udp", host, port)
	if err != nil {
		return nil, err
	}
	return newForeignDatagrams(conn)
}

// foreign connects to what is no service.
func (d *Destinations) foreign(ctx context.Context, c Client, network, host string, port uint16) (net.Conn, error) {
	cfg := d.Outbound.config()
	log := cfg.Log.With("via", c.Via, "client", c.Addr, "host", host, "port", port)
	fail := func(err error) (net.Conn, error) {
		d.Outbound.failed(log, err)
		return nil, err
	}
	if d.Foreign == ForeignNone {
		return fail(fmt.Errorf("%.260s %w", host, ErrForeign))
	}
	addr, err := netip.ParseAddr(host)
	literal := err == nil && addr.Zone() == "" || strings.EqualFold(host, "localhost")
	dialer := net.Dialer{Timeout: cfg.Timeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !d.Foreign.reaches(to.Addr(), literal) {
			return errInside
		}
		return nil
	}}
	who := c.who()
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	if err := d.Outbound.dials.Enter(ctx, who); err != nil {
		return fail(err)
	}
	defer d.Outbound.dials.Leave(who)
	conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return fail(err)
	}
	log.Debug("connected", "address", conn.RemoteAddr())
	return conn, nil
}

// shared is addresses that are not public though IsPrivate does not say so: of
// carriers (RFC 6598), protocols (RFC 6890), examples (RFC 5737), benchmarks, which are
// also virtual ones (RFC 2544), and of nobody yet.
var shared = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	// IPv6 that stands for IPv4 addresses, which may be any.
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("2001:db8::/32"),
}

// reaches reports whether a client may have a connection to an address, which it has
// named itself if literal.
func (f Foreign) reaches(a netip.Addr, literal bool) bool {
	a = a.Unmap()
	inside := a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast()
	if f == ForeignAny {
		return literal || !inside
	}
	if inside || a.IsPrivate() || !a.IsGlobalUnicast() {
		return false
	}
	for _, p := range shared {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// IsUnreachable reports whether the network said that there is no way.
func IsUnreachable(err error) bool {
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}
