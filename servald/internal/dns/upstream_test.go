package dns

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// fake is a DNS server elsewhere.
type fake struct {
	at    string
	asked atomic.Int32 // but by probes
}

// newFake starts one that answers 192.0.2.1 unless told; nil is no answer.
func newFake(t testing.TB, answer func(m *dns.Msg) *dns.Msg) *fake {
	t.Helper()
	if answer == nil {
		answer = func(m *dns.Msg) *dns.Msg { return one(m, "192.0.2.1") }
	}
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{at: l.Addr().String()}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		if strings.HasSuffix(m.Question[0].Name, probeZone) {
			w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeNameError))
			return
		}
		f.asked.Add(1)
		if resp := answer(m); resp != nil {
			w.WriteMsg(resp)
		}
	})
	for _, srv := range []*dns.Server{{PacketConn: l.udp, Handler: handler}, {Listener: l.tcp, Handler: handler}} {
		started, done := make(chan struct{}), make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() {
			srv.ActivateAndServe()
			close(done)
		}()
		<-started
		t.Cleanup(func() {
			srv.Shutdown()
			<-done
		})
	}
	return f
}

// one is an answer with one address.
func one(m *dns.Msg, addr string) *dns.Msg {
	resp := new(dns.Msg).SetReply(m)
	ip := net.ParseIP(addr)
	if ip.To4() != nil {
		resp.Answer = append(resp.Answer, &dns.A{Hdr: header(m.Question[0].Name, dns.TypeA, 60), A: ip})
	} else {
		resp.Answer = append(resp.Answer, &dns.AAAA{Hdr: header(m.Question[0].Name, dns.TypeAAAA, 60), AAAA: ip})
	}
	return resp
}

func TestForward(t *testing.T) {
	var heard atomic.Pointer[dns.Msg]
	up := newFake(t, func(m *dns.Msg) *dns.Msg {
		heard.Store(m)
		resp := one(m, "192.0.2.1")
		resp.AuthenticatedData = true
		resp.SetEdns0(4096, true)
		return resp
	})
	s := newServer(t, func(c *Config) { c.Upstream = []string{up.at} })
	m := query("WwW.example.com.", dns.TypeA)
	m.CheckingDisabled = true
	m.SetEdns0(4096, true)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
	resp := exchangePacket(t, s, m, false)
	if body(resp.Answer) != "WwW.example.com. A 192.0.2.1" || resp.Authoritative || resp.Question[0] != m.Question[0] {
		t.Errorf("%v", resp)
	}
	if !resp.AuthenticatedData { // the server is on this host
		t.Error("that it was validated is lost")
	}
	if opts := slices.DeleteFunc(resp.Extra, func(r dns.RR) bool { return r.Header().Rrtype != dns.TypeOPT }); len(opts) != 1 || resp.IsEdns0().UDPSize() != maxUDP {
		t.Errorf("%v", resp)
	}
	if h := heard.Load(); h.Id == m.Id || !h.CheckingDisabled || !h.RecursionDesired || !h.IsEdns0().Do() || len(h.IsEdns0().Option) != 0 {
		t.Errorf("the server hears %v", h)
	}
	if resp := exchangePacket(t, s, query("www.example.com.", dns.TypeA), true); len(resp.Answer) != 1 || resp.IsEdns0() != nil {
		t.Errorf("by TCP, without EDNS: %v", resp)
	}
	for _, name := range []string{"web.svc.serval.", "nobody.svc.serval.", "other.serval.", "5.5.18.198.in-addr.arpa.", "_dns.resolver.arpa."} {
		before := up.asked.Load()
		ask(t, s, name, dns.TypeA)
		if up.asked.Load() != before {
			t.Errorf("%s is asked for elsewhere", name)
		}
	}
}

func silent(*dns.Msg) *dns.Msg { return nil }

func says(rcode int) func(*dns.Msg) *dns.Msg {
	return func(m *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(m, rcode) }
}

// Servers that are silent, gone, or have no answer: the next one is asked.
func TestSeveralServers(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.LocalAddr().String()
	l.Close()
	good := newFake(t, nil)
	for name, tt := range map[string]struct {
		list  []string
		rcode int
	}{
		"gone":               {[]string{closed, good.at}, 0},
		"silent":             {[]string{newFake(t, silent).at, good.at}, 0},
		"both":               {[]string{newFake(t, silent).at, closed, good.at}, 0},
		"failing":            {[]string{newFake(t, says(dns.RcodeServerFailure)).at, good.at}, 0},
		"refusing":           {[]string{newFake(t, says(dns.RcodeRefused)).at, good.at}, 0},
		"has no such name":   {[]string{newFake(t, says(dns.RcodeNameError)).at, good.at}, dns.RcodeNameError},
		"all are silent":     {[]string{newFake(t, silent).at, newFake(t, silent).at}, dns.RcodeServerFailure},
		"all are gone":       {[]string{closed}, dns.RcodeServerFailure},
		"the only one fails": {[]string{newFake(t, says(dns.RcodeRefused)).at}, dns.RcodeRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, func(c *Config) { c.Upstream, c.Timeout = tt.list, 300*time.Millisecond })
			resp := ask(t, s, "www.example.com.", dns.TypeA)
			if resp.Rcode != tt.rcode || (len(resp.Answer) == 1) != (tt.rcode == 0) {
				t.Errorf("%v", resp)
			}
		})
	}
}

// A server that was silent is asked last for a while.
func TestGoodServersFirst(t *testing.T) {
	mute := newFake(t, silent)
	s := newServer(t, func(c *Config) {
		c.Upstream, c.Timeout = []string{mute.at, newFake(t, nil).at}, 200*time.Millisecond
	})
	ask(t, s, "a.example.", dns.TypeA)
	s.mu.Lock()
	s.upstream[0].bad = time.Now() // its timeout may not have passed when the other answered
	s.mu.Unlock()
	before := mute.asked.Load()
	for range 5 {
		if resp := ask(t, s, "b.example.", dns.TypeA); len(resp.Answer) != 1 {
			t.Fatal(resp)
		}
	}
	if n := mute.asked.Load() - before; n > 1 {
		t.Errorf("it is asked %d times", n)
	}
	s.mu.Lock()
	s.upstream[0].bad = time.Now().Add(-2 * badFor)
	s.mu.Unlock()
	if list, _ := s.order(); list[0].at.String() != mute.at {
		t.Error("it never gets another chance")
	}
}

// An old server knows nothing of EDNS.
func TestWithoutEDNS(t *testing.T) {
	up := newFake(t, func(m *dns.Msg) *dns.Msg {
		if m.IsEdns0() != nil {
			return new(dns.Msg).SetRcodeFormatError(m)
		}
		return one(m, "192.0.2.1")
	})
	s := newServer(t, func(c *Config) { c.Upstream = []string{up.at} })
	if resp := ask(t, s, "a.example.", dns.TypeA); len(resp.Answer) != 1 || resp.IsEdns0() == nil {
		t.Errorf("%v", resp)
	}
}

// What does not answer the question is ignored, as anybody can send it.
func TestSpoofed(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			m := new(dns.Msg)
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			other := query("evil.example.", dns.TypeA)
			other.Id = m.Id
			wrong := m.Copy()
			wrong.Id++
			notyet := one(m, "203.0.113.66")
			notyet.Response = false
			for _, resp := range []*dns.Msg{one(other, "203.0.113.66"), one(wrong, "203.0.113.66"), notyet} {
				b, _ := resp.Pack()
				pc.WriteTo(b, from)
			}
			pc.WriteTo([]byte("junk"), from)
			pc.WriteTo(append(slices.Clone(buf[:12]), 0xC0), from)
			b, _ := one(m, "192.0.2.1").Pack()
			pc.WriteTo(b, from)
		}
	}()
	s := newServer(t, func(c *Config) { c.Upstream = []string{pc.LocalAddr().String()} })
	for range 5 {
		if resp := ask(t, s, "a.example.", dns.TypeA); body(resp.Answer) != "a.example. A 192.0.2.1" {
			t.Errorf("%v", resp)
		}
	}
}

// Others must not name virtual addresses: their page would be taken for a service.
func TestRebinding(t *testing.T) {
	var resp atomic.Pointer[func(m *dns.Msg) *dns.Msg]
	up := newFake(t, func(m *dns.Msg) *dns.Msg { return (*resp.Load())(m) })
	s := newServer(t, func(c *Config) { c.Upstream = []string{up.at} })
	v6 := "fd5e:7276:616c:1::1"
	for name, f := range map[string]func(m *dns.Msg) *dns.Msg{
		"A":          func(m *dns.Msg) *dns.Msg { return one(m, "198.18.7.7") },
		"A of ours":  func(m *dns.Msg) *dns.Msg { return one(m, "198.19.0.1") },
		"AAAA":       func(m *dns.Msg) *dns.Msg { return one(m, v6) },
		"of servald": func(m *dns.Msg) *dns.Msg { return one(m, "fd5e:7276:616c::1") },
		"mapped": func(m *dns.Msg) *dns.Msg {
			resp := new(dns.Msg).SetReply(m)
			resp.Answer = []dns.RR{&dns.AAAA{Hdr: header(m.Question[0].Name, dns.TypeAAAA, 1), AAAA: net.ParseIP("::ffff:198.18.7.7").To16()}}
			return resp
		},
		"CNAME": func(m *dns.Msg) *dns.Msg {
			resp := one(m, "198.18.7.7")
			resp.Answer[0].Header().Name = "web.svc.serval."
			resp.Answer = append([]dns.RR{&dns.CNAME{Hdr: header(m.Question[0].Name, dns.TypeCNAME, 1), Target: "web.svc.serval."}}, resp.Answer...)
			return resp
		},
		"SVCB": func(m *dns.Msg) *dns.Msg {
			resp := new(dns.Msg).SetReply(m)
			resp.Answer = []dns.RR{&dns.HTTPS{SVCB: dns.SVCB{Hdr: header(m.Question[0].Name, dns.TypeHTTPS, 1), Priority: 1, Target: ".", Value: []dns.SVCBKeyValue{&dns.SVCBIPv4Hint{Hint: []net.IP{net.IPv4(198, 18, 7, 7).To4()}}}}}}
			return resp
		},
		"SVCB 6": func(m *dns.Msg) *dns.Msg {
			resp := new(dns.Msg).SetReply(m)
			resp.Answer = []dns.RR{&dns.SVCB{Hdr: header(m.Question[0].Name, dns.TypeSVCB, 1), Priority: 1, Target: ".", Value: []dns.SVCBKeyValue{&dns.SVCBIPv6Hint{Hint: []net.IP{net.ParseIP(v6)}}}}}
			return resp
		},
		"additional": func(m *dns.Msg) *dns.Msg {
			resp := one(m, "192.0.2.1")
			resp.Extra = one(m, "198.18.7.7").Answer
			resp.Answer = nil
			return resp
		},
	} {
		resp.Store(&f)
		got := ask(t, s, "evil.example.", dns.TypeA)
		if text := got.String(); strings.Contains(text, "198.1") || strings.Contains(text, "7276") || !strings.Contains(text, "was left out") {
			t.Errorf("%s: %v", name, got)
		}
	}
	f := func(m *dns.Msg) *dns.Msg { return one(m, "198.51.100.7") }
	resp.Store(&f)
	if got := ask(t, s, "good.example.", dns.TypeA); len(got.Answer) != 1 {
		t.Errorf("a real address is left out: %v", got)
	}
}

// A server that forwards to us must not be forwarded to.
func TestLoops(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Timeout = 500 * time.Millisecond })
	at := serveOn(t, s)

	// It is this very one.
	v4, _ := s.cfg.Pool.Self()
	if err := s.SetUpstream([]string{at.String(), v4.String()}); err != nil {
		t.Fatal(err)
	}
	if all, loops := s.Upstream(); len(all) != 2 || len(loops) != 2 {
		t.Errorf("of %v, %v loop", all, loops)
	}
	resp := ask(t, s, "a.example.", dns.TypeA)
	if resp.Rcode != dns.RcodeServerFailure || !strings.Contains(resp.String(), "ask servald themselves") {
		t.Errorf("%v", resp)
	}

	// It is another, which asks us.
	around := newServer(t, func(c *Config) { c.Upstream = []string{at.String()} })
	other := serveOn(t, around)
	good := newFake(t, nil)
	if err := s.SetUpstream([]string{other.String(), good.at}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		ask(t, s, "b.example.", dns.TypeA)
		if _, loops := s.Upstream(); slices.Equal(loops, []netip.AddrPort{other}) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the loop is not found")
		}
	}
	before := good.asked.Load()
	for range 3 {
		if resp := ask(t, s, "c.example.", dns.TypeA); len(resp.Answer) != 1 {
			t.Errorf("%v", resp)
		}
	}
	if n := good.asked.Load() - before; n != 3 {
		t.Errorf("the good server is asked %d times", n)
	}

	// It is told to ask another: a probe shows that.
	if err := around.SetUpstream([]string{good.at}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		s.upstream[0].probe.at = time.Now().Add(-2 * probeAgain)
		s.mu.Unlock()
		ask(t, s, "d.example.", dns.TypeA)
		time.Sleep(20 * time.Millisecond)
		if _, loops := s.Upstream(); len(loops) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is left out for ever")
		}
	}
}

func TestSetUpstream(t *testing.T) {
	s := newServer(t, nil)
	for list, ok := range map[string]bool{"192.0.2.1": true, "192.0.2.1:5353 192.0.2.1": true, "2001:db8::1": true, "[2001:db8::1]:53 fe80::1%lo": true,
		"example.com": false, "192.0.2.1:0": false, "192.0.2.1:dns": false, "1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4 5.5.5.5 6.6.6.6 7.7.7.7 8.8.8.8 9.9.9.9": false} {
		if err := s.SetUpstream(strings.Fields(list)); (err == nil) != ok {
			t.Errorf("%s: %v", list, err)
		}
	}
	if err := s.SetUpstream([]string{"192.0.2.1", "192.0.2.1:53"}); err != nil {
		t.Fatal(err)
	}
	if all, _ := s.Upstream(); len(all) != 1 {
		t.Errorf("one server counts %d times", len(all))
	}
}

// What another server sends is bounded and hostile.
func FuzzAdopt(f *testing.F) {
	m := query("a.example.", dns.TypeA)
	b, _ := one(m, "198.18.0.9").Pack()
	f.Add(b)
	resp := one(m, "192.0.2.1")
	resp.SetEdns0(4096, true)
	resp.IsEdns0().Option = append(resp.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: 3, ExtraText: "stale"})
	b, _ = resp.Pack()
	f.Add(b)
	s := newServer(f, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		from := new(dns.Msg)
		if from.Unpack(b) != nil {
			return
		}
		for _, edns := range []bool{false, true} {
			m := query("a.example.", dns.TypeA)
			if edns {
				m.SetEdns0(1232, false)
			}
			answers(m, from)
			q := &question{Msg: m, Question: m.Question[0]}
			resp := q.adopt(from.Copy())
			s.strip(q, resp)
			s.finish(q, resp)
			out, err := resp.Pack()
			if err != nil {
				continue // it is answered that it fails
			}
			if len(out) > maxUDP {
				t.Fatalf("%d bytes", len(out))
			}
			for _, section := range [][]dns.RR{resp.Answer, resp.Ns, resp.Extra} {
				if slices.ContainsFunc(section, s.names) {
					t.Fatalf("%v names a virtual address", resp)
				}
			}
		}
	})
}
