package dns

import (
	"net"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// strip removes virtual addresses from another server's answer. Only this server knows
// them; who else names one wants a browser to take a service of ours for a page of his
// own (DNS rebinding).
func (s *Server) strip(q *question, resp *dns.Msg) {
	before := len(resp.Answer) + len(resp.Ns) + len(resp.Extra)
	for _, section := range []*[]dns.RR{&resp.Answer, &resp.Ns, &resp.Extra} {
		*section = slices.DeleteFunc(*section, s.names)
	}
	if len(resp.Answer)+len(resp.Ns)+len(resp.Extra) == before {
		return
	}
	explain(resp, dns.ExtendedErrorCodeBlocked, "another server's answer with an address of a service was left out")
	s.rebind.Do(func() {
		s.log.Warn("another DNS server names virtual addresses, which are left out: somebody may be trying to reach services through a browser", "name", q.Name)
	})
}

// names reports whether a record names a virtual address.
func (s *Server) names(r dns.RR) bool {
	switch r := r.(type) {
	case *dns.A:
		return s.virtual(r.A)
	case *dns.AAAA:
		return s.virtual(r.AAAA)
	case *dns.SVCB:
		return s.hintsAt(r)
	case *dns.HTTPS:
		return s.hintsAt(&r.SVCB)
	}
	return false
}

func (s *Server) hintsAt(b *dns.SVCB) bool {
	for _, kv := range b.Value {
		switch kv := kv.(type) {
		case *dns.SVCBIPv4Hint:
			if slices.ContainsFunc(kv.Hint, s.virtual) {
				return true
			}
		case *dns.SVCBIPv6Hint:
			if slices.ContainsFunc(kv.Hint, s.virtual) {
				return true
			}
		}
	}
	return false
}

func (s *Server) virtual(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && s.cfg.Pool.Contains(a)
}
