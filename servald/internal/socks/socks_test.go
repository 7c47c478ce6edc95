package socks

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/nodetest"
	"github.com/serval-net/serval/servald/internal/outbound"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

// names knows one virtual address.
type names struct{}

var virtual = netip.MustParseAddr("fd5e:7276:616c:1::7")

func (names) Name(a netip.Addr) (sal.Name, bool) {
	if a == virtual || a == netip.MustParseAddr("198.18.0.7") {
		return sal.MustParseName("svc:echo"), true
	}
	return sal.Name{}, false
}

// start serves a proxy until the test ends, and returns its address.
func start(t *testing.T, c *nodetest.Cluster, s *Server) string {
	t.Helper()
	if s.Destinations == nil {
		s.Destinations = &outbound.Destinations{}
	}
	if s.Destinations.Outbound == nil {
		s.Destinations.Outbound = outbound.New(outbound.Config{Node: c.NodeWith(serval.Config{TryNext: 20 * time.Millisecond}), Timeout: time.Second})
	}
	s.Destinations.Names = names{}
	s.Log = slog.New(slog.DiscardHandler)
	return conntest.Serve(t, s.Serve)
}

// TestConnect: an independent client reaches a service by its name and addresses.
func TestConnect(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	at := start(t, c, &Server{})
	d, err := proxy.SOCKS5("tcp", at, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"echo.svc.serval:80", "ECHO.svc.serval.:7", "[" + virtual.String() + "]:80", "198.18.0.7:1"} {
		conn, err := d.Dial("tcp", to)
		if err != nil {
			t.Errorf("%s: %v", to, err)
			continue
		}
		nodetest.CheckEcho(t, conn)
		conn.Close()
	}
}

// TestEarly: what a client sends before it is told that it is connected is not lost.
func TestEarly(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	conn := conntest.Dial(t, start(t, c, &Server{}))
	conn.Write(append(address{host: "echo.svc.serval", port: 7}.append([]byte{5, 1, methodNone, 5, cmdConnect, 0}), "early\n"...))
	if _, err := io.ReadFull(conn, make([]byte, 2+10)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	r.ReadString('\n') // who it is
	if line, err := r.ReadString('\n'); line != "early\n" {
		t.Errorf("%q came back, %v", line, err)
	}
}

// TestClientLeaves: nothing is dialled any longer for a client that has left.
func TestClientLeaves(t *testing.T) {
	c := nodetest.New(t)
	c.Silent("svc:silent")
	conn := conntest.Dial(t, start(t, c, &Server{ProxySettings: door.ProxySettings{Destinations: &outbound.Destinations{
		Outbound: outbound.New(outbound.Config{Node: c.NodeWith(serval.Config{DialTimeout: time.Hour}), Timeout: time.Hour})}}}))
	conn.Write(address{host: "silent.svc.serval", port: 7}.append([]byte{5, 1, methodNone, 5, cmdConnect, 0}))
	conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || len(got) != 2+10 || Reply(got[3]) == Succeeded {
		t.Errorf("answer %x, %v", got, err)
	}
}

// TestReplies: the client is told why it was not connected.
func TestReplies(t *testing.T) {
	c := nodetest.New(t)
	c.Serve(c.Node(), "svc:secret", func(net.Conn) {})
	c.Silent("svc:silent")
	s := &Server{}
	at := start(t, c, s)
	s.Destinations.Outbound.Reconfigure(outbound.Config{Node: c.Node(), Timeout: 200 * time.Millisecond,
		Rules: []outbound.Rule{{Name: sal.MustParseName("svc:secret"), Deny: true}}})
	for _, tc := range []struct {
		cmd  byte
		to   address
		want Reply
	}{
		{cmdConnect, address{host: "none.svc.serval", port: 80}, HostUnreachable},
		{cmdConnect, address{host: "a.b.c.d.svc.serval", port: 80}, HostUnreachable},
		{cmdConnect, address{host: "secret.svc.serval", port: 80}, NotAllowed},
		{cmdConnect, address{host: "silent.svc.serval", port: 80}, TTLExpired},
		{cmdConnect, address{host: "example.com", port: 80}, NotAllowed},
		{cmdConnect, address{host: "localhost", port: 80}, NotAllowed},
		{cmdConnect, address{addr: netip.MustParseAddr("127.0.0.1"), port: 22}, NotAllowed},
		{cmdConnect, address{addr: netip.MustParseAddr("fd5e:7276:616c:9::9"), port: 22}, NotAllowed},
		{cmdConnect, address{host: "a\nb.svc.serval", port: 80}, HostUnreachable},
		{2, address{host: "none.svc.serval", port: 80}, CommandUnknown}, // BIND
	} {
		conn := conntest.Dial(t, at)
		conn.Write(append(tc.to.append([]byte{5, 2, methodNone, 77, 5, tc.cmd, 0}), "early data"...))
		got, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || len(got) != 2+10 || Reply(got[3]) != tc.want {
			t.Errorf("%v: answer %x, %v, want reply %d", tc.to, got, err, tc.want)
		}
	}
}

// TestPassword: only who knows the password comes in, and all methods are told right.
func TestPassword(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	at := start(t, c, &Server{ProxySettings: door.ProxySettings{Users: door.Users{"alice": "wonderland"}}})
	for _, tc := range []struct {
		auth *proxy.Auth
		ok   bool
	}{
		{&proxy.Auth{User: "alice", Password: "wonderland"}, true},
		{&proxy.Auth{User: "alice", Password: "wonderlan"}, false},
		{&proxy.Auth{User: "bob", Password: "wonderland"}, false},
		{&proxy.Auth{User: "alice", Password: ""}, false},
		{nil, false},
	} {
		d, err := proxy.SOCKS5("tcp", at, tc.auth, nil)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := d.Dial("tcp", "echo.svc.serval:80")
		if (err == nil) != tc.ok {
			t.Errorf("%+v: %v", tc.auth, err)
		}
		if err == nil {
			nodetest.CheckEcho(t, conn)
			conn.Close()
		}
	}
}

// TestOtherProtocols: clients that mean something else are told.
func TestOtherProtocols(t *testing.T) {
	at := start(t, nodetest.New(t), &Server{ProxySettings: door.ProxySettings{Handshake: 200 * time.Millisecond}})
	for in, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n": "HTTP/1.1 400 Bad Request",
		"\x04\x01\x00\x50\x01\x02\x03\x04\x00":      "\x00\x5b",
		"\x16\x03\x01\x02\x00\x01":                  "",         // TLS
		"\x05\x01\x02":                              "\x05\xff", // a password that nobody wants
		"\x05\x00":                                  "",
		"\x05\x01\x00\x05\x01\x00\x09":              "\x05\x00", // half a request, and silence
		"\x05\x01\x00\x05\x01\x00\x09x":             "\x05\x00\x05\x08",
	} {
		conn := conntest.Dial(t, at)
		io.WriteString(conn, in)
		got, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !strings.HasPrefix(string(got), want) || want == "" && len(got) > 0 {
			t.Errorf("%q is answered by %q, %v", in, got, err)
		}
	}
}

// TestHalfClose: the end of one direction is passed on, and the other goes on.
func TestHalfClose(t *testing.T) {
	c := nodetest.New(t)
	c.Serve(c.Node(), "svc:sum", func(conn net.Conn) {
		n, _ := io.Copy(io.Discard, conn)
		fmt.Fprint(conn, n)
	})
	at := start(t, c, &Server{})
	d, _ := proxy.SOCKS5("tcp", at, nil, nil)
	conn, err := d.Dial("tcp", "sum.svc.serval:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(make([]byte, 1_000_000))
	conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(conn); string(got) != "1000000" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestServiceFails: a program whose service dies sees a reset and not an end.
func TestServiceFails(t *testing.T) {
	c := nodetest.New(t)
	accepted := make(chan *serval.Conn, 1)
	n := c.Node()
	ln, err := n.Listen("svc:mortal")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			io.WriteString(conn, "half an ans")
			accepted <- conn.(*serval.Conn)
		}
	}()
	at := start(t, c, &Server{})
	d, _ := proxy.SOCKS5("tcp", at, nil, nil)
	conn, err := d.Dial("tcp", "mortal.svc.serval:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(conn, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	(<-accepted).Abort()
	if b, err := io.ReadAll(conn); err == nil {
		t.Errorf("the answer ended as if it were whole, after %q", b)
	}
}

// TestOpenProxy: the proxy refuses to lead strangers anywhere.
func TestOpenProxy(t *testing.T) {
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{ProxySettings: door.ProxySettings{Destinations: &outbound.Destinations{Foreign: outbound.ForeignPublic}}}
	if err := s.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "open proxy") {
		t.Errorf("serving everybody: %v", err)
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("it goes on listening")
	}
}

// TestForeign: other destinations are reached where that is allowed, by TCP and UDP, but
// not by names that turn out to be this host.
func TestForeign(t *testing.T) {
	c := nodetest.New(t)
	ln := conntest.Listen(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "me\n")
			io.Copy(conn, conn)
			conn.Close()
		}
	})
	defer func() { ln.Close(); wg.Wait() }()
	at := start(t, c, &Server{ProxySettings: door.ProxySettings{Destinations: &outbound.Destinations{Foreign: outbound.ForeignAny}}})
	d, _ := proxy.SOCKS5("tcp", at, nil, nil)
	conn, err := d.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nodetest.CheckEcho(t, conn)
	conn.Close()
	echo, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { conntest.EchoPackets(echo) })
	defer echo.Close()
	a := associate(t, at)
	defer a.Close()
	to := address{addr: netip.MustParseAddr("127.0.0.1"), port: echo.LocalAddr().(*net.UDPAddr).AddrPort().Port()}
	a.send(t, to, "hello")
	if from, text := a.receive(t); from != to || text != "hello" {
		t.Errorf("%q came back from %v", text, from)
	}
	public := start(t, c, &Server{ProxySettings: door.ProxySettings{Destinations: &outbound.Destinations{Foreign: outbound.ForeignPublic}}})
	d, _ = proxy.SOCKS5("tcp", public, nil, nil)
	if conn, err := d.Dial("tcp", ln.Addr().String()); err == nil {
		conn.Close()
		t.Error("a public proxy leads to this host")
	}
}

// TestCrowded: one client cannot have all connections.
func TestCrowded(t *testing.T) {
	at := start(t, nodetest.New(t), &Server{ProxySettings: door.ProxySettings{Settings: door.Settings{Max: 4}}})
	var conns []net.Conn
	refused := 0
	for range 4 {
		conn, err := net.Dial("tcp", at)
		if err != nil { // reset already
			refused++
			continue
		}
		defer conn.Close()
		conns = append(conns, conn)
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		conn.Write([]byte{5, 1, 0})
		if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d connections were refused, %d were not", refused, len(conns))
	}
}

// TestSlowReader: a client that does not read makes the service wait; what is under way
// by then is bounded, and it harms nobody else.
func TestSlowReader(t *testing.T) {
	const bound = 32 << 20
	c := nodetest.New(t)
	c.Echo("svc:echo")
	sent := make(chan int, 1)
	c.Serve(c.Node(), "svc:flood", func(conn net.Conn) {
		b, total := make([]byte, 64<<10), 0
		for total < 2*bound {
			conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
			n, err := conn.Write(b)
			if total += n; err != nil {
				break
			}
		}
		sent <- total
	})
	at := start(t, c, &Server{})
	d, _ := proxy.SOCKS5("tcp", at, nil, nil)
	slow, err := d.Dial("tcp", "flood.svc.serval:1")
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	for range 3 {
		conn, err := d.Dial("tcp", "echo.svc.serval:1")
		if err != nil {
			t.Fatal(err)
		}
		nodetest.CheckEcho(t, conn)
		conn.Close()
	}
	if n := <-sent; n > bound {
		t.Errorf("%d bytes were taken for a client that reads nothing", n)
	}
}

func FuzzMessages(f *testing.F) {
	for _, seed := range []string{
		"\x05\x01\x00", "\x05\x02\x00\x02", "\x04\x01\x00\x50\x00\x00\x00\x01a\x00b\x00", "GET /",
		"\x01\x05alice\x0awonderland", "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
		"\x05\x01\x00\x03\x0fecho.svc.serval\x00\x50", "\x05\x03\x00\x04" + strings.Repeat("\x00", 18),
		"\x00\x00\x00\x03\x0fecho.svc.serval\x00\x35data", "\x00\x00\x01\x01\x01\x02\x03\x04\x00\x50x",
		"\x05\x01\x00\x03\x00\x00\x50", "\x05\x01\x00\x03\x07fe80::1\x00\x50", "\x05\x01\x00\x03\x09fe80::1%a\x00\x50",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if methods, err := readGreeting(bytes.NewReader(b)); err == nil && len(methods) != int(b[1]) {
			t.Errorf("%d methods of %x", len(methods), b)
		}
		if user, password, err := readPassword(bytes.NewReader(b)); err == nil && len(user)+len(password) > len(b) {
			t.Errorf("%q and %q of %x", user, password, b)
		}
		check := func(a address) {
			if a.addr.IsValid() == (a.host != "") || a.addr.Zone() != "" || len(a.host) > 255 {
				t.Errorf("address %+v of %x", a, b)
			}
			again, rest, err := cutAddress(a.append(nil)[0], a.append(nil)[1:])
			if err != nil || again != a || len(rest) != 0 {
				t.Errorf("address %+v comes back as %+v, %v", a, again, err)
			}
		}
		if _, to, err := readRequest(bytes.NewReader(b)); err == nil {
			check(to)
		}
		if to, data, err := cutDatagram(b); err == nil {
			check(to)
			if len(data) >= len(b) {
				t.Errorf("%d bytes of data in %d", len(data), len(b))
			}
		}
	})
}
