package dns

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// known are the services of tests.
func known(_ context.Context, service sal.Name) (bool, error) {
	switch service.Path() {
	case "web", "shop/cart", "shop/cart/eu", "secure", "fixed", "my_db", "_odd":
		return true, nil
	case "broken", "was":
		return false, errors.New("the resolver is away")
	}
	return sal.MustParseName("svc:fn/*").Covers(service), nil
}

func hints(service sal.Name) Hints {
	switch service.Path() {
	case "secure":
		return Hints{Port: 8443, ALPN: []string{"h2"}}
	case "fixed":
		return Hints{Port: 5000, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.7")}}
	}
	return Hints{}
}

func newServer(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	pool, err := vaddr.Open("", vaddr.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Pool: pool, Known: known, Hints: hints,
		Below: func(_ context.Context, service sal.Name) bool { return service.Path() == "shop" }}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// ask asks the server what a program of the host would.
func ask(t testing.TB, s *Server, name string, kind uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	m.SetEdns0(4096, false)
	return exchangePacket(t, s, m, false)
}

func exchangePacket(t testing.TB, s *Server, m *dns.Msg, tcp bool) *dns.Msg {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := s.ServePacket(t.Context(), b, tcp)
	resp := new(dns.Msg)
	if err := resp.Unpack(out); err != nil {
		t.Fatalf("the answer to %v: %v", m.Question, err)
	}
	if resp.Id != m.Id || !resp.Response {
		t.Fatalf("the answer is %v", resp)
	}
	return resp
}

// body is all records of a section but their TTLs, one a line.
func body(section []dns.RR) string {
	var lines []string
	for _, r := range section {
		if _, opt := r.(*dns.OPT); opt {
			continue
		}
		words := strings.Fields(r.String())
		lines = append(lines, strings.Join(append(words[:1], words[3:]...), " "))
	}
	return strings.Join(lines, "\n")
}

func TestZone(t *testing.T) {
	s := newServer(t, nil)
	v4, v6, err := s.cfg.Pool.Addrs(sal.MustParseName("svc:web"))
	if err != nil {
		t.Fatal(err)
	}
	cart4, cart6, _ := s.cfg.Pool.Addrs(sal.MustParseName("svc:shop/cart"))
	sec4, sec6, _ := s.cfg.Pool.Addrs(sal.MustParseName("svc:secure"))
	was4, _, _ := s.cfg.Pool.Addrs(sal.MustParseName("svc:was"))
	const ok, nx = dns.RcodeSuccess, dns.RcodeNameError
	rev := func(a netip.Addr) string {
		name, err := dns.ReverseAddr(a.String())
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		name   string
		kind   uint16
		rcode  int
		answer string // "" is none, with an SOA
	}{
		{"web.svc.serval.", dns.TypeA, ok, "web.svc.serval. A " + v4.String()},
		{"web.svc.serval.", dns.TypeAAAA, ok, "web.svc.serval. AAAA " + v6.String()},
		{"WeB.sVc.Serval.", dns.TypeA, ok, "WeB.sVc.Serval. A " + v4.String()},
		{"web.svc.serval.", dns.TypeTXT, ok, ""},
		{"web.svc.serval.", dns.TypeMX, ok, ""},
		{"web.svc.serval.", dns.TypeNS, ok, ""},
		{"web.svc.serval.", dns.TypeSRV, ok, ""},
		{"web.svc.serval.", dns.TypeANY, ok, `web.svc.serval. HINFO "RFC8482" ""`},
		{"cart.shop.svc.serval.", dns.TypeA, ok, "cart.shop.svc.serval. A " + cart4.String()},
		{"cart.shop.svc.serval.", dns.TypeAAAA, ok, "cart.shop.svc.serval. AAAA " + cart6.String()},
		{"was.svc.serval.", dns.TypeA, ok, "was.svc.serval. A " + was4.String()}, // whoever knows is away
		{"x.fn.svc.serval.", dns.TypeAAAA, ok, "x.fn.svc.serval. AAAA " + vaddr.IPv6(sal.MustParseName("svc:fn/x")).String()},

		// What does not exist, and what exists without records.
		{"nobody.svc.serval.", dns.TypeA, nx, ""},
		{"nobody.svc.serval.", dns.TypeTXT, nx, ""},
		{"x.web.svc.serval.", dns.TypeA, nx, ""},
		{"shop.svc.serval.", dns.TypeA, ok, ""},
		{"shop.svc.serval.", dns.TypeAAAA, ok, ""},
		{"a.b.c.d.svc.serval.", dns.TypeA, nx, ""},
		{"*.fn.svc.serval.", dns.TypeA, nx, ""},
		{"we\\.b.svc.serval.", dns.TypeA, nx, ""},
		{"we\\000b.svc.serval.", dns.TypeA, nx, ""},
		{"web:80.svc.serval.", dns.TypeA, nx, ""},
		{"svc:web.svc.serval.", dns.TypeA, nx, ""},
		{"svc.serval.", dns.TypeA, ok, ""},
		{"serval.", dns.TypeA, ok, ""},
		{"elsewhere.serval.", dns.TypeA, nx, ""},
		{"serval.", dns.TypeSOA, ok, "serval. SOA ns.serval. hostmaster.serval. 1 3600 600 86400 5"},
		{"serval.", dns.TypeNS, ok, "serval. NS ns.serval."},
		{"ns.serval.", dns.TypeA, ok, "ns.serval. A 198.18.0.1"},
		{"ns.serval.", dns.TypeAAAA, ok, "ns.serval. AAAA fd5e:7276:616c::1"},

		// SRV: by hints, by the number, by the protocol's name.
		{"_x._tcp.fixed.svc.serval.", dns.TypeSRV, ok, "_x._tcp.fixed.svc.serval. SRV 0 0 5000 fixed.svc.serval."},
		{"_8080._tcp.web.svc.serval.", dns.TypeSRV, ok, "_8080._tcp.web.svc.serval. SRV 0 0 8080 web.svc.serval."},
		{"_http._tcp.web.svc.serval.", dns.TypeSRV, ok, "_http._tcp.web.svc.serval. SRV 0 0 80 web.svc.serval."},
		{"_domain._udp.cart.shop.svc.serval.", dns.TypeSRV, ok, "_domain._udp.cart.shop.svc.serval. SRV 0 0 53 cart.shop.svc.serval."},
		{"_http._tcp.fn.svc.serval.", dns.TypeSRV, ok, "_http._tcp.fn.svc.serval. SRV 0 0 80 fn.svc.serval."},
		{"_nosuchprotocol._tcp.web.svc.serval.", dns.TypeSRV, ok, ""},
		{"_http._tcp.nobody.svc.serval.", dns.TypeSRV, nx, ""},
		{"_http._tcp.web.svc.serval.", dns.TypeA, ok, ""},
		{"_tcp.web.svc.serval.", dns.TypeA, ok, ""},
		{"_a._b._c.web.svc.serval.", dns.TypeSRV, nx, ""},
		{"_tcp.svc.serval.", dns.TypeSRV, nx, ""},
		{"_odd.svc.serval.", dns.TypeTXT, ok, ""}, // a service after all
		{"my_db.svc.serval.", dns.TypeTXT, ok, ""},

		// HTTPS would make browsers use TLS: only where there is some.
		{"web.svc.serval.", dns.TypeHTTPS, ok, ""},
		{"nobody.svc.serval.", dns.TypeHTTPS, nx, ""},
		{"web.svc.serval.", dns.TypeSVCB, ok, `web.svc.serval. SVCB 1 . ipv4hint="` + v4.String() + `" ipv6hint="` + v6.String() + `"`},
		{"secure.svc.serval.", dns.TypeHTTPS, ok, `secure.svc.serval. HTTPS 1 . alpn="h2" no-default-alpn="" port="8443" ipv4hint="` + sec4.String() + `" ipv6hint="` + sec6.String() + `"`},
		{"_443._https.web.svc.serval.", dns.TypeHTTPS, ok, ""},
		{"_443._https.secure.svc.serval.", dns.TypeHTTPS, ok, `_443._https.secure.svc.serval. HTTPS 1 secure.svc.serval. alpn="h2" no-default-alpn="" port="8443" ipv4hint="` + sec4.String() + `" ipv6hint="` + sec6.String() + `"`},
		{"_5432._postgres.web.svc.serval.", dns.TypeSVCB, ok, `_5432._postgres.web.svc.serval. SVCB 1 web.svc.serval. port="5432" ipv4hint="` + v4.String() + `" ipv6hint="` + v6.String() + `"`},

		// Reverse.
		{rev(v4), dns.TypePTR, ok, rev(v4) + " PTR web.svc.serval."},
		{rev(cart6), dns.TypePTR, ok, rev(cart6) + " PTR cart.shop.svc.serval."},
		{rev(v4), dns.TypeA, ok, ""},
		{"1.0.18.198.in-addr.arpa.", dns.TypePTR, ok, "1.0.18.198.in-addr.arpa. PTR ns.serval."},
		{rev(vaddr.Self6), dns.TypePTR, ok, rev(vaddr.Self6) + " PTR ns.serval."},
		{"255.255.19.198.in-addr.arpa.", dns.TypePTR, nx, ""},
		{rev(netip.MustParseAddr("fd5e:7276:616c::2")), dns.TypePTR, nx, ""},
		{"19.198.in-addr.arpa.", dns.TypePTR, ok, ""},
		{"18.198.in-addr.arpa.", dns.TypeSOA, ok, "18.198.in-addr.arpa. SOA ns.serval. hostmaster.serval. 1 3600 600 86400 5"},
		{"c.6.1.6.6.7.2.7.e.5.d.f.ip6.arpa.", dns.TypeNS, ok, ""},

		// Not ours, and nobody to ask.
		{"198.in-addr.arpa.", dns.TypePTR, dns.RcodeRefused, ""},
		{"1.0.0.127.in-addr.arpa.", dns.TypePTR, dns.RcodeRefused, ""},
		{"example.com.", dns.TypeA, dns.RcodeRefused, ""},
		{"xserval.", dns.TypeA, dns.RcodeRefused, ""},
		{"web.svc.serval.", dns.TypeAXFR, dns.RcodeRefused, ""},

		{"use-application-dns.net.", dns.TypeA, nx, ""},
		{"_dns.resolver.arpa.", dns.TypeSVCB, ok, ""},
	} {
		resp := ask(t, s, tt.name, tt.kind)
		what := tt.name + " " + dns.TypeToString[tt.kind]
		if resp.Rcode != tt.rcode || body(resp.Answer) != tt.answer {
			t.Errorf("%s: %s %q; want %s %q", what, dns.RcodeToString[resp.Rcode], body(resp.Answer), dns.RcodeToString[tt.rcode], tt.answer)
		}
		ours := strings.HasSuffix(strings.ToLower(tt.name), ".serval.") || strings.HasSuffix(tt.name, ".arpa.") && tt.rcode != dns.RcodeRefused && !strings.Contains(tt.name, "resolver")
		if soas := slices.ContainsFunc(resp.Ns, func(r dns.RR) bool { return r.Header().Rrtype == dns.TypeSOA }); ours && tt.kind != dns.TypeAXFR && soas != (tt.answer == "") {
			t.Errorf("%s: its SOA: %v", what, resp.Ns)
		}
	}
	if resp := ask(t, s, "broken.svc.serval.", dns.TypeA); resp.Rcode != dns.RcodeServerFailure || !strings.Contains(resp.IsEdns0().String(), "resolver is away") {
		t.Errorf("nobody knows: %v", resp)
	}
	srv := ask(t, s, "_http._tcp.web.svc.serval.", dns.TypeSRV)
	if want := "web.svc.serval. A " + v4.String() + "\nweb.svc.serval. AAAA " + v6.String(); body(srv.Extra) != want {
		t.Errorf("with SRV come %q, want %q", body(srv.Extra), want)
	}
}

// The names of negative answers lie below the owner of their SOA, or resolvers do not
// believe them.
func TestNegativeApex(t *testing.T) {
	for _, p := range []string{"198.18.0.0/15", "10.64.0.0/10", "192.168.7.128/25", "10.1.16.0/20"} {
		prefix := netip.MustParsePrefix(p)
		s := newServer(t, func(c *Config) { c.Pool, _ = vaddr.Open("", vaddr.Config{V4: prefix}) })
		name, _ := dns.ReverseAddr(prefix.Addr().Next().Next().Next().String())
		resp := ask(t, s, name, dns.TypePTR)
		if resp.Rcode != dns.RcodeNameError || len(resp.Ns) != 1 || !dns.IsSubDomain(resp.Ns[0].Header().Name, name) {
			t.Errorf("%s in %s: %v", name, p, resp)
		}
	}
}

func TestClientsElsewhere(t *testing.T) {
	s := newServer(t, nil)
	at := func(client, name string, kind uint16) *dns.Msg {
		m := new(dns.Msg)
		m.SetQuestion(name, kind)
		return s.answer(t.Context(), &question{Msg: m, Question: m.Question[0], client: netip.MustParseAddr(client)})
	}
	if resp := at("203.0.113.9", "fixed.svc.serval.", dns.TypeA); body(resp.Answer) != "fixed.svc.serval. A 192.0.2.7" {
		t.Errorf("from elsewhere: %v", resp)
	}
	if resp := at("203.0.113.9", "fixed.svc.serval.", dns.TypeAAAA); len(resp.Answer) != 0 || resp.Rcode != 0 {
		t.Errorf("from elsewhere, IPv6: %v", resp)
	}
	if resp := at("127.0.0.1", "fixed.svc.serval.", dns.TypeA); len(resp.Answer) != 1 || strings.Contains(body(resp.Answer), "192.0.2.7") {
		t.Errorf("from this host: %v", resp)
	}
}

func TestWithoutIPv6(t *testing.T) {
	s := newServer(t, func(c *Config) { c.WithoutIPv6 = true })
	if resp := ask(t, s, "web.svc.serval.", dns.TypeAAAA); len(resp.Answer) != 0 || resp.Rcode != 0 || len(resp.Ns) != 1 {
		t.Errorf("%v", resp)
	}
	if resp := ask(t, s, "web.svc.serval.", dns.TypeSVCB); strings.Contains(resp.String(), "ipv6hint") {
		t.Errorf("%v", resp)
	}
}

// Where a wildcard stands for names without end, nobody can use up all IPv4 addresses.
func TestGrants(t *testing.T) {
	s := newServer(t, func(c *Config) {
		c.Pool, _ = vaddr.Open("", vaddr.Config{V4: netip.MustParsePrefix("10.9.0.0/24")})
	})
	all, _ := s.cfg.Pool.Capacity()
	at := func(client netip.Addr, i int) *dns.Msg {
		m := new(dns.Msg)
		m.SetQuestion("x"+strings.Repeat("i", i%60)+"."+strings.Repeat("j", 1+i/60)+".fn.svc.serval.", dns.TypeA)
		return s.answer(t.Context(), &question{Msg: m, Question: m.Question[0], client: client})
	}
	greedy, other := netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("192.168.0.2")
	got := 0
	for i := range 2 * all {
		resp := at(greedy, i)
		got += len(resp.Answer)
		if resp.Rcode != dns.RcodeSuccess {
			t.Fatalf("%v", resp)
		}
	}
	if got == 0 || got > all/4 {
		t.Errorf("one client got %d of %d addresses", got, all)
	}
	if resp := at(greedy, 0); len(resp.Answer) != 1 {
		t.Errorf("it cannot ask again for what it has: %v", resp)
	}
	if resp := at(other, 3000); len(resp.Answer) != 1 {
		t.Errorf("none is left for others: %v", resp)
	}
	g := &s.grants
	for i := range 2 * maxGrantees {
		g.allow(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	if len(g.clients) > maxGrantees+1 {
		t.Errorf("%d clients are remembered", len(g.clients))
	}
}
