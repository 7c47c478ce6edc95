// Package vaddr gives services virtual addresses, for programs that know addresses
// only.
//
// The IPv6 address of a service is derived from its ID: it is the same on every host,
// for ever, and nothing need be stored. IPv4 has too few addresses for that. A [Pool]
// hands them out, remembers them over restarts, and gives one to another service only
// when nobody can be using it any more.
//
// None of these addresses is on any network: servald's TUN, or its DNS server and
// proxies, take what is sent to them and look up which service was meant.
package vaddr

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/serval-net/serval/pkg/sal"
)

// Prefix6 holds the IPv6 addresses of all services: a unique local prefix (RFC 4193)
// of which the 40 bits that should be random spell "^rval", one for all clusters.
var Prefix6 = netip.MustParsePrefix("fd5e:7276:616c::/48")

// DefaultPrefix4 is where a Pool takes IPv4 addresses from unless told: the range for
// benchmarks of networks (RFC 2544), which no host on the Internet has.
var DefaultPrefix4 = netip.MustParsePrefix("198.18.0.0/15")

// Self6 is the IPv6 address of servald itself, where its DNS server is. The /64 it is
// in has no other.
var Self6 = netip.MustParseAddr("fd5e:7276:616c::1")

// IPv6 returns the address of a service: Prefix6 and 80 bits of a hash of its ID. It
// is the zero Addr for the zero Name and for wildcards, which are no services.
func IPv6(service sal.Name) netip.Addr {
	if service.IsZero() || service.IsWildcard() {
		return netip.Addr{}
	}
	id := service.ServiceID()
	sum := sha256.Sum256(append([]byte("serval virtual IPv6 address\x00"), id[:]...))
	a := Prefix6.Addr().As16()
	copy(a[6:], sum[:10])
	if a[6] == 0 && a[7] == 0 { // the /64 of Self6
		a[7] = 1
	}
	return netip.AddrFrom16(a)
}

// CheckPrefix4 says what is wrong with a prefix for a Pool.
func CheckPrefix4(p netip.Prefix) error {
	switch {
	case !p.IsValid() || !p.Addr().Is4():
		return fmt.Errorf("the prefix %v for virtual addresses is no IPv4 prefix; write one such as %v", p, DefaultPrefix4)
	case p.Bits() < 8 || p.Bits() > 29:
		return fmt.Errorf("the prefix %v for virtual addresses has %d bits; choose from 8 to 29", p, p.Bits())
	case p.Addr().IsLoopback() || p.Addr().IsMulticast() || p.Addr().IsLinkLocalUnicast() || p.Addr().As4()[0] == 0 || p.Addr().As4()[0] >= 240:
		return fmt.Errorf("the prefix %v for virtual addresses is special to hosts; choose a private one, or %v", p, DefaultPrefix4)
	}
	return nil
}

// at returns the i-th address of an IPv4 prefix.
func at(p netip.Prefix, i uint32) netip.Addr {
	b := p.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+i)
	return netip.AddrFrom4(b)
}
