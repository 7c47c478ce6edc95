package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

// serveOn serves at a free port of loopback until the test ends.
func serveOn(t testing.TB, s *Server) netip.AddrPort {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	for s.mu.Lock(); s.local[l.Addr()] == 0; s.mu.Lock() {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	s.mu.Unlock()
	return l.Addr()
}

func query(name string, kind uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	return m
}

func TestServe(t *testing.T) {
	s := newServer(t, nil)
	at := serveOn(t, s)
	for _, network := range []string{"udp", "tcp"} {
		c := &dns.Client{Net: network, Timeout: 5 * time.Second}
		resp, _, err := c.Exchange(query("web.svc.serval.", dns.TypeA), at.String())
		if err != nil || len(resp.Answer) != 1 || !resp.Authoritative {
			t.Errorf("%s: %v, %v", network, resp, err)
		}
	}
	// Several questions on one connection.
	conn, err := dns.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		m := query("web.svc.serval.", dns.TypeAAAA)
		if err := conn.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
		if resp, err := conn.ReadMsg(); err != nil || resp.Id != m.Id || len(resp.Answer) != 1 {
			t.Fatalf("%v, %v", resp, err)
		}
	}
	// The port is taken, or may not be had.
	if _, err := Listen(t.Context(), at.String()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "is in use, by another DNS server") {
		t.Errorf("the port is taken: %v", err)
	}
	if _, err := Listen(t.Context(), "203.0.113.1:5353"); err == nil || !strings.Contains(err.Error(), "no address of this host") {
		t.Errorf("an address of others: %v", err)
	}
}

// A client that reads nothing, or sends a question byte by byte, holds nobody up.
func TestSlowClients(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Max = 16 })
	at := serveOn(t, s)
	for range 10 {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte{0})
	}
	c := &dns.Client{Timeout: 5 * time.Second}
	if resp, _, err := c.Exchange(query("web.svc.serval.", dns.TypeA), at.String()); err != nil || len(resp.Answer) != 1 {
		t.Errorf("%v, %v", resp, err)
	}
}

// Where more questions are asked than may be worked on, the rest is dropped, and what
// is dropped takes nothing. One client cannot take everything.
func TestMax(t *testing.T) {
	gate := make(chan struct{})
	var working atomic.Int32
	s := newServer(t, func(c *Config) {
		c.Max = 4
		c.Known = func(ctx context.Context, _ sal.Name) (bool, error) {
			working.Add(1)
			defer working.Add(-1)
			select {
			case <-gate:
			case <-ctx.Done():
			}
			return true, nil
		}
	})
	b, _ := query("web.svc.serval.", dns.TypeA).Pack()
	var asking sync.WaitGroup
	for i, client := range []string{"192.0.2.1", "2001:db8::1"} {
		for range 2 {
			asking.Go(func() {
				if s.serve(t.Context(), b, netip.MustParseAddr(client), false) == nil {
					t.Error("it is not answered")
				}
			})
		}
		for working.Load() < int32(2*i+2) {
			time.Sleep(time.Millisecond)
		}
		for _, same := range []string{client, "::ffff:192.0.2.1", "2001:db8::2"}[:2*i+1] {
			if got := s.serve(t.Context(), b, netip.MustParseAddr(same), false); got != nil {
				t.Errorf("%s has too many answered: %x", same, got)
			}
		}
	}
	if got := s.ServePacket(t.Context(), b, false); got != nil {
		t.Errorf("one too many is answered: %x", got)
	}
	close(gate)
	asking.Wait()
	if s.ServePacket(t.Context(), b, false) == nil {
		t.Error("then it is not answered either")
	}
	if s.work.used != 0 || len(s.work.by) != 0 {
		t.Errorf("%+v", &s.work)
	}
}

// Other servers that are slow do not keep services from being found.
func TestSlowUpstream(t *testing.T) {
	up := newFake(t, silent)
	s := newServer(t, func(c *Config) { c.Max, c.Timeout, c.Upstream = 8, 300*time.Millisecond, []string{up.at} })
	var asking sync.WaitGroup
	for i := range 40 {
		client := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		m := query("www.example.com.", dns.TypeA)
		asking.Go(func() { s.answer(t.Context(), &question{Msg: m, Question: m.Question[0], client: client}) })
	}
	for {
		s.afar.mu.Lock()
		used := s.afar.used
		s.afar.mu.Unlock()
		if used == 6 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if resp := ask(t, s, "web.svc.serval.", dns.TypeA); len(resp.Answer) != 1 {
		t.Errorf("%v", resp)
	}
	asking.Wait()
}

func TestTruncation(t *testing.T) {
	up := newFake(t, func(m *dns.Msg) *dns.Msg {
		resp := new(dns.Msg).SetReply(m)
		for i := range 60 {
			resp.Answer = append(resp.Answer, &dns.A{Hdr: header(m.Question[0].Name, dns.TypeA, 60), A: net.IPv4(192, 0, 2, byte(i))})
		}
		return resp
	})
	s := newServer(t, func(c *Config) { c.Upstream = []string{up.at} })
	for _, tt := range []struct {
		size  uint16 // of EDNS, 0 for none
		tcp   bool
		most  int
		whole bool
	}{{0, false, 512, false}, {512, false, 512, false}, {1000, false, 1000, false}, {4096, false, 1232, true}, {65535, false, 1232, true}, {0, true, 65535, true}} {
		m := query("many.example.", dns.TypeA)
		if tt.size > 0 {
			m.SetEdns0(tt.size, false)
		}
		b, _ := m.Pack()
		out := s.ServePacket(t.Context(), b, tt.tcp)
		resp := new(dns.Msg)
		if err := resp.Unpack(out); err != nil || len(out) > tt.most || resp.Truncated == tt.whole || (len(resp.Answer) == 60) != tt.whole {
			t.Errorf("%+v: %d bytes, %d records, truncated %v, %v", tt, len(out), len(resp.Answer), resp.Truncated, err)
		}
		if (resp.IsEdns0() != nil) != (tt.size > 0) {
			t.Errorf("%+v: EDNS is %v", tt, resp.IsEdns0())
		}
	}
}

// What is no question, or one of another kind.
func TestOddQuestions(t *testing.T) {
	s := newServer(t, nil)
	good, _ := query("web.svc.serval.", dns.TypeA).Pack()
	edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	edns := query("web.svc.serval.", dns.TypeA)
	edns.SetEdns0(1232, true)
	edns.IsEdns0().SetVersion(1)
	version1, _ := edns.Pack()
	chaos := query("version.bind.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	bind, _ := chaos.Pack()
	const silent = -1
	for name, tt := range map[string]struct {
		b     []byte
		rcode int
	}{
		"nothing":           {nil, silent},
		"short":             {good[:11], silent},
		"an answer":         {edit(func(b []byte) []byte { b[2] |= 0x80; return b }), silent},
		"cut":               {good[:len(good)-3], dns.RcodeFormatError},
		"no question":       {edit(func(b []byte) []byte { b[5] = 0; return b[:12] }), dns.RcodeFormatError},
		"two questions":     {edit(func(b []byte) []byte { b[5] = 2; return append(b, b[12:]...) }), dns.RcodeFormatError},
		"a pointer to self": {append(slices.Clone(good[:12]), 0xC0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
		"an update":         {edit(func(b []byte) []byte { b[2] |= 5 << 3; return b }), dns.RcodeNotImplemented},
		"a notify":          {edit(func(b []byte) []byte { b[2] |= 4 << 3; return b }), dns.RcodeNotImplemented},
		"EDNS version 1":    {version1, dns.RcodeBadVers},
		"another class":     {bind, dns.RcodeRefused},
	} {
		out := s.ServePacket(t.Context(), tt.b, false)
		if tt.rcode == silent {
			if out != nil {
				t.Errorf("%s: it is answered %x", name, out)
			}
			continue
		}
		resp := new(dns.Msg)
		if err := resp.Unpack(out); err != nil || resp.Rcode != tt.rcode || !resp.Response || resp.Id != binary.BigEndian.Uint16(good) && len(resp.Question) == 0 {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
	do := query("web.svc.serval.", dns.TypeA)
	do.SetEdns0(1232, true)
	if opt := exchangePacket(t, s, do, false).IsEdns0(); opt == nil || !opt.Do() {
		t.Errorf("the DO bit is not copied: %v", opt)
	}
}

// Strangers get services, and nothing else.
func TestOpenResolver(t *testing.T) {
	up := newFake(t, nil)
	s := newServer(t, func(c *Config) { c.Upstream = []string{up.at} })
	for client, want := range map[string]int{"127.0.0.1": 0, "192.168.3.4": 0, "::1": 0, "fd00::1": 0, "::ffff:10.0.0.1": 0, "fe80::1%eth0": 0,
		"203.0.113.9": dns.RcodeRefused, "2001:db8::1": dns.RcodeRefused, "::ffff:8.8.8.8": dns.RcodeRefused} {
		for name, want := range map[string]int{"example.com.": want, "web.svc.serval.": 0} {
			m := query(name, dns.TypeA)
			resp := s.answer(t.Context(), &question{Msg: m, Question: m.Question[0], client: netip.MustParseAddr(client)})
			if resp.Rcode != want {
				t.Errorf("%s asks for %s: %s", client, name, dns.RcodeToString[resp.Rcode])
			}
		}
	}
}

// In a TUN there are streams of packets rather than sockets.
func TestServeStream(t *testing.T) {
	s := newServer(t, nil)
	here, there := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { s.ServeStream(ctx, there); close(done) }()
	conn := &dns.Conn{Conn: here}
	for range 2 {
		if err := conn.WriteMsg(query("web.svc.serval.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if resp, err := conn.ReadMsg(); err != nil || len(resp.Answer) != 1 {
			t.Fatalf("%v, %v", resp, err)
		}
	}
	cancel()
	<-done
	if _, err := here.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the stream is open: %v", err)
	}
}

func FuzzServePacket(f *testing.F) {
	for _, m := range []*dns.Msg{query("web.svc.serval.", dns.TypeA), query("_http._tcp.web.svc.serval.", dns.TypeSRV), query("secure.svc.serval.", dns.TypeHTTPS),
		query("1.0.18.198.in-addr.arpa.", dns.TypePTR), query("1.0.0.0.c.6.1.6.6.7.2.7.e.5.d.f.ip6.arpa.", dns.TypePTR), query("x.fn.svc.serval.", dns.TypeANY),
		query("serval.", dns.TypeNS), query("nobody.svc.serval.", dns.TypeSVCB), query("example.", dns.TypeA)} {
		b, _ := m.Pack()
		f.Add(b, false)
		m.SetEdns0(1232, true)
		b, _ = m.Pack()
		f.Add(b, true)
	}
	s := newServer(f, nil)
	f.Fuzz(func(t *testing.T, b []byte, tcp bool) {
		out := s.ServePacket(t.Context(), b, tcp)
		if out == nil {
			return
		}
		resp := new(dns.Msg)
		if err := resp.Unpack(out); err != nil {
			t.Fatalf("the answer to %x is %x: %v", b, out, err)
		}
		if !resp.Response || out[0] != b[0] || out[1] != b[1] || !tcp && len(out) > maxUDP {
			t.Fatalf("the answer to %x is %v", b, resp)
		}
		if resp.Rcode == dns.RcodeNameError && len(resp.Answer) > 0 {
			t.Fatalf("the answer to %x does not exist, and does: %v", b, resp)
		}
	})
}
