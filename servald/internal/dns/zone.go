package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

const (
	zone     = "serval."     // all of it is ours, none of it leaves the host
	services = "svc.serval." // names of services are below it
	self     = "ns.serval."  // servald itself
)

// negativeTTL is how many seconds others may keep that a name does not exist: a
// service may start at any moment.
const negativeTTL = 5

// soa is the record that negative answers carry, with the TTL that they have.
func soa(owner string) dns.RR {
	return &dns.SOA{Hdr: header(owner, dns.TypeSOA, negativeTTL), Ns: self, Mbox: "hostmaster.serval.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negativeTTL}
}

func header(owner string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func (s *Server) ttl() uint32 { return uint32(s.cfg.TTL.Seconds()) }

// none returns an answer without records for a name that exists, noName one for a
// name that does not.
func (q *question) none(apex string) *dns.Msg {
	resp := q.reply()
	resp.Authoritative = true
	resp.Ns = append(resp.Ns, soa(apex))
	return resp
}

func (q *question) noName(apex string) *dns.Msg {
	resp := q.none(apex)
	resp.Rcode = dns.RcodeNameError
	return resp
}

// found returns an answer with records.
func (q *question) found(records ...dns.RR) *dns.Msg {
	if len(records) == 0 {
		return q.none(zone)
	}
	resp := q.reply()
	resp.Authoritative = true
	resp.Answer = records
	return resp
}

// ours answers for a name in our zone, name in lower case.
func (s *Server) ours(ctx context.Context, q *question, name string) *dns.Msg {
	switch name {
	case zone:
		switch q.Qtype {
		case dns.TypeSOA:
			return q.found(soa(q.Name))
		case dns.TypeNS:
			resp := q.found(&dns.NS{Hdr: header(q.Name, dns.TypeNS, s.ttl()), Ns: self})
			v4, v6 := s.cfg.Pool.Self()
			resp.Extra = append(s.addresses(self, dns.TypeANY, v4, v6), resp.Extra...)
			return resp
		}
		return q.none(zone)
	case services:
		return q.none(zone)
	case self:
		v4, v6 := s.cfg.Pool.Self()
		return q.found(s.addresses(q.Name, q.Qtype, v4, v6)...)
	}
	if !dns.IsSubDomain(services, name) {
		return q.noName(zone)
	}
	// _http._tcp.web.svc.serval says more of web.svc.serval, or is a service itself,
	// such as one that a wildcard stands for.
	attributes, base := split(name)
	if base == services {
		attributes = nil
	}
	hosts := []string{name}
	switch {
	case len(attributes) == 0:
	case q.Qtype == dns.TypeSRV || q.Qtype == dns.TypeSVCB || q.Qtype == dns.TypeHTTPS:
		hosts = []string{base, name}
	default:
		hosts = []string{name, base}
	}
	for _, host := range hosts {
		service, known, err := s.lookup(ctx, host)
		switch {
		case err != nil:
			return q.failed(dns.ExtendedErrorCodeNotReady, "servald does not know whether the service exists: "+err.Error())
		case known && host == name:
			return s.service(q, service)
		case known:
			return s.attribute(q, service, attributes)
		}
	}
	if s.below(ctx, name) {
		return q.none(zone)
	}
	return q.noName(zone)
}

// lookup reports whether a host name is that of a service.
func (s *Server) lookup(ctx context.Context, host string) (sal.Name, bool, error) {
	service, err := sal.ParseName(strings.TrimSuffix(host, "."))
	if err != nil || service.IsWildcard() || service.DNS()+"." != host {
		return sal.Name{}, false, nil
	}
	known, err := s.cfg.Known(ctx, service)
	if err != nil && s.cfg.Pool.Has(service) {
		return service, true, nil // it was there a while ago
	}
	return service, known, err
}

// below reports whether there are services under a name.
func (s *Server) below(ctx context.Context, host string) bool {
	service, err := sal.ParseName(strings.TrimSuffix(host, "."))
	return err == nil && !service.IsWildcard() && s.cfg.Below != nil && s.cfg.Below(ctx, service)
}

// split cuts the labels off a host name that begin with an underscore.
func split(host string) (attributes []string, base string) {
	base = host
	for strings.HasPrefix(base, "_") {
		label, rest, _ := strings.Cut(base, ".")
		attributes, base = append(attributes, label), rest
	}
	return attributes, base
}

// service answers for a service that is known.
func (s *Server) service(q *question, service sal.Name) *dns.Msg {
	switch q.Qtype {
	case dns.TypeA, dns.TypeAAAA:
		v4, v6, err := s.addrs(q, service)
		records := s.addresses(q.Name, q.Qtype, v4, v6)
		if err == nil || len(records) > 0 {
			return q.found(records...)
		}
		resp := q.none(zone)
		explain(resp, dns.ExtendedErrorCodeOther, err.Error())
		return resp
	case dns.TypeANY: // RFC 8482
		return q.found(&dns.HINFO{Hdr: header(q.Name, dns.TypeHINFO, s.ttl()), Cpu: "RFC8482"})
	case dns.TypeHTTPS:
		if h := s.hints(service); len(h.ALPN) > 0 {
			return q.found(&dns.HTTPS{SVCB: s.binding(q, service, ".", h.Port, h.ALPN)})
		}
	case dns.TypeSVCB:
		h := s.hints(service)
		b := s.binding(q, service, ".", h.Port, h.ALPN)
		return q.found(&b)
	}
	return q.none(zone)
}

// attribute answers for a name such as _http._tcp.web.svc.serval or
// _8443._https.web.svc.serval, of a service that is known.
func (s *Server) attribute(q *question, service sal.Name, labels []string) *dns.Msg {
	switch {
	case len(labels) > 2:
		return q.noName(zone)
	case len(labels) < 2:
		return q.none(zone)
	}
	h := s.hints(service)
	switch proto := labels[1]; {
	case q.Qtype == dns.TypeSRV && (proto == "_tcp" || proto == "_udp"):
		port := h.Port
		if port == 0 {
			port = portOf(labels[0][1:], proto[1:])
		}
		if port == 0 {
			break // the client then uses the address, and the port that it knows
		}
		target := service.DNS() + "."
		resp := q.found(&dns.SRV{Hdr: header(q.Name, dns.TypeSRV, s.ttl()), Port: port, Target: target})
		v4, v6, _ := s.addrs(q, service)
		resp.Extra = append(s.addresses(target, dns.TypeANY, v4, v6), resp.Extra...)
		return resp
	case q.Qtype == dns.TypeSVCB || q.Qtype == dns.TypeHTTPS && proto == "_https" && len(h.ALPN) > 0:
		port := h.Port
		if n, err := strconv.ParseUint(labels[0][1:], 10, 16); err == nil && port == 0 {
			port = uint16(n)
		}
		b := s.binding(q, service, service.DNS()+".", port, h.ALPN)
		if q.Qtype == dns.TypeHTTPS {
			return q.found(&dns.HTTPS{SVCB: b})
		}
		return q.found(&b)
	}
	return q.none(zone)
}

// portOf is the port of a protocol as the host knows it, 0 if it does not.
func portOf(service, proto string) uint16 {
	if n, err := strconv.ParseUint(service, 10, 16); err == nil {
		return uint16(n)
	}
	n, err := net.LookupPort(proto, service)
	if err != nil {
		return 0
	}
	return uint16(n)
}

func (s *Server) hints(service sal.Name) Hints {
	if s.cfg.Hints == nil {
		return Hints{}
	}
	return s.cfg.Hints(service)
}

// binding is the body of an SVCB or HTTPS record.
func (s *Server) binding(q *question, service sal.Name, target string, port uint16, alpn []string) dns.SVCB {
	b := dns.SVCB{Hdr: header(q.Name, q.Qtype, s.ttl()), Priority: 1, Target: target}
	if len(alpn) > 0 { // in the order of their keys
		b.Value = append(b.Value, &dns.SVCBAlpn{Alpn: alpn})
		if !slices.Contains(alpn, "http/1.1") {
			b.Value = append(b.Value, &dns.SVCBNoDefaultAlpn{})
		}
	}
	if port != 0 {
		b.Value = append(b.Value, &dns.SVCBPort{Port: port})
	}
	v4, v6, _ := s.addrs(q, service)
	if v4.IsValid() {
		b.Value = append(b.Value, &dns.SVCBIPv4Hint{Hint: []net.IP{v4.AsSlice()}})
	}
	if v6.IsValid() && !s.cfg.WithoutIPv6 {
		b.Value = append(b.Value, &dns.SVCBIPv6Hint{Hint: []net.IP{v6.AsSlice()}})
	}
	return b
}

// addresses makes records of the addresses that a type asks for, of both for ANY.
func (s *Server) addresses(owner string, kind uint16, v4, v6 netip.Addr) (records []dns.RR) {
	if (kind == dns.TypeA || kind == dns.TypeANY) && v4.IsValid() {
		records = append(records, &dns.A{Hdr: header(owner, dns.TypeA, s.ttl()), A: v4.AsSlice()})
	}
	if (kind == dns.TypeAAAA || kind == dns.TypeANY) && v6.IsValid() && !s.cfg.WithoutIPv6 {
		records = append(records, &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, s.ttl()), AAAA: v6.AsSlice()})
	}
	return records
}

// isLocal reports whether a client is on this host.
func isLocal(client netip.Addr) bool {
	if !client.IsValid() || client.IsLoopback() {
		return true
	}
	addrs, _ := net.InterfaceAddrs()
	return slices.ContainsFunc(addrs, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr() == client.WithZone("")
	})
}

// addrs returns the addresses of a service. A client that asks for too many services
// gets no more IPv4 addresses, so that some are left for others.
func (s *Server) addrs(q *question, service sal.Name) (v4, v6 netip.Addr, err error) {
	if h := s.hints(service); len(h.Addrs) > 0 && !isLocal(q.client) {
		for _, a := range h.Addrs {
			if a.Is4() && !v4.IsValid() {
				v4 = a
			} else if a.Is6() && !v6.IsValid() {
				v6 = a
			}
		}
		return v4, v6, nil
	}
	if !s.cfg.Pool.Has(service) && !s.grants.allow(q.client) {
		s.cfg.Pool.Learn(service)
		return v4, vaddr.IPv6(service), fmt.Errorf("%v asks for more services than it may get new IPv4 addresses for; IPv6 goes on to work", q.client)
	}
	v4, v6, err = s.cfg.Pool.Addrs(service)
	if errors.Is(err, vaddr.ErrFull) {
		s.full.Do(func() { s.log.Warn("no virtual IPv4 address is left", "service", service, "err", err) })
	}
	return v4, v6, err
}
