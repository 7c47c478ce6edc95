package dns

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/serval-net/serval/servald/internal/vaddr"
)

const (
	arpa4 = "in-addr.arpa."
	arpa6 = "ip6.arpa."
)

// reverse answers for the names of virtual addresses; ok says that it is one.
func (s *Server) reverse(q *question, name string) (resp *dns.Msg, ok bool) {
	addr, bits, ok := parseReverse(name)
	if !ok {
		return nil, false
	}
	prefix := s.cfg.Pool.Prefix4()
	if addr.Is6() {
		prefix = vaddr.Prefix6
	}
	if bits < prefix.Bits() || !prefix.Contains(addr) {
		return nil, false
	}
	apex := apexOf(addr, prefix.Bits())
	if bits < addr.BitLen() {
		if q.Qtype == dns.TypeSOA && name == apex {
			return q.found(soa(q.Name)), true
		}
		return q.none(apex), true
	}
	host := ""
	v4, v6 := s.cfg.Pool.Self()
	if addr == v4 || addr == v6 {
		host = self
	} else if service, known := s.cfg.Pool.Name(addr); known {
		host = service.DNS() + "."
	}
	switch {
	case host == "":
		return q.noName(apex), true
	case q.Qtype != dns.TypePTR:
		return q.none(apex), true
	}
	return q.found(&dns.PTR{Hdr: header(q.Name, dns.TypePTR, s.ttl()), Ptr: host}), true
}

// parseReverse returns the address of which a name in in-addr.arpa or ip6.arpa is the
// reverse, or its first bits.
func parseReverse(name string) (addr netip.Addr, bits int, ok bool) {
	if rest, is4 := strings.CutSuffix(name, "."+arpa4); is4 {
		labels := strings.Split(rest, ".")
		var b [4]byte
		if len(labels) > len(b) {
			return addr, 0, false
		}
		slices.Reverse(labels)
		for i, l := range labels {
			n, err := strconv.ParseUint(l, 10, 8)
			if err != nil || strconv.FormatUint(n, 10) != l {
				return addr, 0, false
			}
			b[i] = byte(n)
		}
		return netip.AddrFrom4(b), 8 * len(labels), true
	}
	rest, is6 := strings.CutSuffix(name, "."+arpa6)
	if !is6 {
		return addr, 0, false
	}
	labels := strings.Split(rest, ".")
	var b [16]byte
	if len(labels) > 2*len(b) {
		return addr, 0, false
	}
	slices.Reverse(labels)
	for i, l := range labels {
		n, err := strconv.ParseUint(l, 16, 4)
		if err != nil || len(l) != 1 {
			return addr, 0, false
		}
		b[i/2] |= byte(n) << (4 * (1 - i%2))
	}
	return netip.AddrFrom16(b), 4 * len(labels), true
}

// apexOf is the name of the zone of an address's reverse: the largest that can be
// delegated and has nothing outside of a prefix of so many bits.
func apexOf(addr netip.Addr, bits int) string {
	full, err := dns.ReverseAddr(addr.String())
	if err != nil {
		return zone
	}
	step := 8
	if addr.Is6() {
		step = 4
	}
	labels := strings.Split(full, ".")
	cut := addr.BitLen()/step - (bits+step-1)/step
	return strings.Join(labels[cut:], ".")
}
