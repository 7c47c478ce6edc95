package door

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/nodetest"
	"github.com/serval-net/serval/servald/internal/outbound"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

// from is a connection whose client seems to be elsewhere.
type from struct {
	net.Conn
	addr netip.AddrPort
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(f.addr) }

// TestFair: a client that takes all it gets leaves room for others, and what it has
// given back it can have again.
func TestFair(t *testing.T) {
	d := &Door{Settings: Settings{Max: 100}}
	enter := func(addr string) (func(), error) {
		a, _ := conntest.Pipe()
		_, leave, err := d.Enter(from{a, netip.MustParseAddrPort(addr)})
		return leave, err
	}
	var leave func()
	n := 0
	for ; ; n++ {
		l, err := enter("192.0.2.1:1")
		if err != nil {
			break
		}
		leave = l
	}
	if n != 75 {
		t.Errorf("one client got %d of 100 places", n)
	}
	if _, err := enter("192.0.2.2:1"); err != nil {
		t.Errorf("another client: %v", err)
	}
	leave()
	leave, err := enter("192.0.2.2:1")
	if err != nil || d.Inside() != 76 {
		t.Errorf("%d are inside, %v", d.Inside(), err)
	}
	leave()
}

// TestClients: only those that may come in do, however they write their address.
func TestClients(t *testing.T) {
	d := &Door{Via: "test", Settings: Settings{Clients: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")}}}
	for addr, want := range map[string]bool{
		"192.0.2.9:1": true, "[::ffff:192.0.2.9]:1": true, "192.0.3.1:1": false, "[fe80::1%eth0]:1": true, "[::1]:1": false,
	} {
		a, _ := conntest.Pipe()
		c, leave, err := d.Enter(from{a, netip.MustParseAddrPort(addr)})
		if (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
		if err == nil {
			leave()
		}
		if c.Via != "test" || c.Addr.Addr().Zone() != "" || c.Addr.Addr().Is4In6() {
			t.Errorf("%s is %+v", addr, c)
		}
	}
}

// TestCheckOpen tells which proxies are open.
func TestCheckOpen(t *testing.T) {
	all, some := []netip.Prefix{netip.MustParsePrefix("::/0")}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tc := range []struct {
		addr    net.Addr
		foreign outbound.Foreign
		users   int
		clients []netip.Prefix
		open    bool
	}{
		{&net.TCPAddr{IP: net.IPv4zero, Port: 1}, outbound.ForeignNone, 0, nil, false},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 1}, outbound.ForeignPublic, 0, nil, true},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 1}, outbound.ForeignPublic, 0, all, true},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 1}, outbound.ForeignPublic, 0, some, false},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 1}, outbound.ForeignAny, 1, all, false},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 1}, outbound.ForeignAny, 0, nil, false},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 1}, outbound.ForeignAny, 0, nil, false},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, outbound.ForeignAny, 0, nil, true},
		{&net.UnixAddr{Name: "/s"}, outbound.ForeignAny, 0, nil, false},
	} {
		if err := checkOpen(tc.addr, tc.foreign, tc.users, tc.clients); (err != nil) != tc.open {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

// TestServe: who is not let in is reset, and all is over when Serve returns.
func TestServe(t *testing.T) {
	d := &Door{Settings: Settings{Max: 1, Log: slog.New(slog.DiscardHandler)}, Handle: func(ctx context.Context, c outbound.Client, conn net.Conn) error {
		defer conn.Close()
		io.WriteString(conn, "in")
		<-ctx.Done()
		return nil
	}}
	ln := conntest.Listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, ln) }()
	in := 0
	for range 3 {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			continue
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(conn, make([]byte, 2)); err == nil {
			in++
		}
	}
	cancel()
	if err := <-done; err != nil || in != 1 || d.Inside() != 0 {
		t.Errorf("%d came in, %d are inside, %v", in, d.Inside(), err)
	}
}

// TestLogin: users are told apart by name and host, and only those who know the password
// are users.
func TestLogin(t *testing.T) {
	users := Users{"alice": "wonderland", "bob": "builder"}
	here := outbound.Client{Addr: netip.MustParseAddrPort("192.0.2.1:1")}
	seen := make(map[string]bool)
	for _, tc := range []struct {
		from           outbound.Client
		name, password string
		ok             bool
	}{
		{here, "alice", "wonderland", true},
		{here, "bob", "builder", true},
		{outbound.Client{Addr: netip.MustParseAddrPort("192.0.2.2:1")}, "alice", "wonderland", true},
		{outbound.Client{Session: "process 7"}, "alice", "wonderland", true},
		{here, "alice", "builder", false},
		{here, "alice", "", false},
		{here, "carol", "", false},
		{here, "", "", false},
	} {
		c, ok := users.Login(tc.from, tc.name, tc.password)
		if ok != tc.ok {
			t.Errorf("%s with %q: %v", tc.name, tc.password, ok)
		}
		if ok && seen[c.Session] {
			t.Errorf("%s at %v is another client, too: %q", tc.name, tc.from, c.Session)
		}
		seen[c.Session] = true
	}
}
