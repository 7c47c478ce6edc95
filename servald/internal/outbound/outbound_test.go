package outbound

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

func client(addr string) Client {
	return Client{Via: "test", Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 1234)}
}

// reach opens a stream to a service that Echo serves and returns who answered.
func reach(t *testing.T, o *Outbound, c Client) (net.Conn, string) {
	t.Helper()
	conn, err := o.Stream(t.Context(), c, "echo.svc.serval", 80)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return conn, strings.TrimSpace(line)
}

// TestPinned: a client's connections reach one instance while one of them is open, even
// those that are dialled at once, and its datagrams do; other clients have their own.
func TestPinned(t *testing.T) {
	c := nodetest.New(t)
	for range 4 {
		c.Echo("svc:echo")
	}
	o := New(Config{Node: c.Node()})
	seen := make(map[string]bool)
	for i := range 16 {
		me := client(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String())
		var mu sync.Mutex
		mine := make(map[string]bool)
		var conns []net.Conn
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				conn, who := reach(t, o, me)
				mu.Lock()
				defer mu.Unlock()
				mine[who], conns = true, append(conns, conn)
			})
		}
		wg.Wait()
		conn, who := reach(t, o, me)
		mine[who], seen[who] = true, true
		if len(mine) != 1 {
			t.Errorf("connections of one client reached %v", mine)
		}
		for _, conn := range append(conns, conn) {
			conn.Close()
		}
	}
	if len(seen) < 2 {
		t.Errorf("all clients reached %v", seen)
	}
	// Without connections, and after some time, nothing ties it to an instance; nor are
	// programs of this host tied, which all have its address, one after the other.
	o.Reconfigure(Config{Node: o.cfg.Node, PinFor: time.Nanosecond})
	for i, who := range []string{"10.1.0.1", "127.0.0.1", "10.1.0.2"} {
		if i == 1 {
			o.Reconfigure(Config{Node: o.cfg.Node})
		}
		pinned := i == 2
		seen = make(map[string]bool)
		for range 40 {
			conn, who := reach(t, o, client(who))
			conn.Close()
			seen[who] = true
		}
		if (len(seen) == 1) != pinned {
			t.Errorf("a client without connections reached %v", seen)
		}
	}
	// And not while it has some, if it is not to be pinned.
	o.Reconfigure(Config{Node: o.cfg.Node, Rules: []Rule{{Name: sal.MustParseName("svc:*"), NoPin: true}}})
	seen = make(map[string]bool)
	for range 40 {
		conn, who := reach(t, o, client("10.1.0.3"))
		defer conn.Close()
		seen[who] = true
	}
	if len(seen) < 2 {
		t.Errorf("unpinned connections all reached %v", seen)
	}
}

// TestPinMoves: when the instance is gone, the client gets another one, and stays there.
func TestPinMoves(t *testing.T) {
	c := nodetest.New(t)
	nodes := make(map[string]*serval.Node)
	for range 3 {
		n := c.Echo("svc:echo")
		nodes[n.ID().Short()] = n
	}
	o := New(Config{Node: c.NodeWith(serval.Config{TryNext: 20 * time.Millisecond})})
	me := client("10.0.0.1")
	first, who := reach(t, o, me)
	defer first.Close()
	nodes[who].Close()
	second, other := reach(t, o, me)
	defer second.Close()
	if other == who {
		t.Fatal("an instance answered that is gone")
	}
	for range 10 {
		conn, again := reach(t, o, me)
		conn.Close()
		if again != other {
			t.Fatalf("the client reached %v, then %v", other, again)
		}
	}
}

// TestDatagrams: they go where the client's streams go, and have ports.
func TestDatagrams(t *testing.T) {
	c := nodetest.New(t)
	for range 4 {
		c.EchoPackets("svc:echo")
	}
	o := New(Config{Node: c.Node()})
	buf := make([]byte, 2000)
	ask := func(c Client, text string, port uint16) (string, uint16) {
		t.Helper()
		d, err := o.Datagrams(t.Context(), c, "svc:echo", port)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		d.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := d.WriteTo([]byte(text), port); err != nil {
			t.Fatal(err)
		}
		n, from, err := d.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n]), from
	}
	first, port := ask(client("10.0.0.1"), "hello", 53)
	if !strings.HasSuffix(first, " hello") || port != 53 {
		t.Errorf("%q came back from port %d", first, port)
	}
	for range 10 {
		if again, port := ask(client("10.0.0.1"), "next hello", 69); !strings.HasPrefix(again, strings.Fields(first)[0]) || port != 70 {
			t.Errorf("%q came back from port %d, after %q", again, port, first)
		}
	}
}

// TestErrors: each failure is of its kind and no other.
func TestErrors(t *testing.T) {
	c := nodetest.New(t)
	node := c.NodeWith(serval.Config{TryNext: 10 * time.Millisecond})
	c.Silent("svc:silent")
	c.Serve(c.Node(), "svc:secret", func(net.Conn) {})
	o := New(Config{Node: node, Timeout: 300 * time.Millisecond, Rules: []Rule{
		{Name: sal.MustParseName("svc:secret"), Clients: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		{Name: sal.MustParseName("svc:secret"), Deny: true},
	}})
	for _, tc := range []struct {
		service, client string
		kind            func(error) bool
	}{
		{"svc:none", "10.0.0.1", IsNoService},
		{"no..name", "10.0.0.1", IsNoService},
		{"svc:secret", "10.0.0.1", IsDenied},
		{"svc:secret", "10.0.0.1", IsRefused},
		{"svc:silent", "10.0.0.1", IsTimeout},
		{"svc:secret", "192.0.2.1", func(err error) bool { return err == nil }},
		{"svc:secret", "::ffff:192.0.2.1", func(err error) bool { return err == nil }},
	} {
		conn, err := o.Stream(t.Context(), client(tc.client), tc.service, 0)
		if err == nil {
			conn.Close()
		}
		if !tc.kind(err) {
			t.Errorf("%s from %s: %v", tc.service, tc.client, err)
		}
		if IsBusy(err) || IsForeign(err) {
			t.Errorf("%s: %v is of other kinds too", tc.service, err)
		}
	}
	o.Reconfigure(Config{Node: node, DenyOthers: true})
	if _, err := o.Stream(t.Context(), client("192.0.2.1"), "svc:secret", 0); !errors.Is(err, ErrDenied) {
		t.Errorf("with all denied: %v", err)
	}
}

// TestFailuresAreTold: without any flag, but not those of clients that have left, nor those
// of pings, which try streams first.
func TestFailuresAreTold(t *testing.T) {
	c := nodetest.New(t)
	c.EchoPackets("svc:packets")
	c.Silent("svc:silent")
	var log strings.Builder
	o := New(Config{Node: c.Node(), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := o.Stream(left, client("10.0.0.1"), "svc:silent", 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := o.Ping(t.Context(), "svc:packets"); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("it is told: %s", log.String())
	}
	for _, name := range []string{"svc:none", "no..name"} {
		if _, err := o.Stream(t.Context(), client("10.0.0.1"), name, 0); err == nil {
			t.Errorf("%s has an instance", name)
		}
	}
	if n := strings.Count(log.String(), "client=10.0.0.1"); n != 2 {
		t.Errorf("2 failures are told as %s", log.String())
	}
}

// TestPing: services of streams and of datagrams answer, others do not.
func TestPing(t *testing.T) {
	c := nodetest.New(t)
	gone := c.Echo("svc:stream")
	c.EchoPackets("svc:packets")
	node := c.Node()
	o := New(Config{Node: node})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, name := range []string{"svc:stream", "svc:packets"} {
		for range 3 {
			if err := o.Ping(ctx, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := node.Stats().Connections; n != 2 {
		t.Errorf("pings left %d connections, 2 wanted", n)
	}
	// What was kept for the next ping may have ended meanwhile.
	gone.Close()
	c.Echo("svc:stream")
	if err := o.Ping(ctx, "svc:stream"); err != nil {
		t.Errorf("with another instance: %v", err)
	}
	if err := o.Ping(ctx, "svc:none"); !IsNoService(err) {
		t.Errorf("svc:none: %v", err)
	}
}

// TestPolicy: connections use their paths as the rule for their name says.
func TestPolicy(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	c.Echo("svc:shop/cart")
	o := New(Config{Node: c.Node(), Rules: []Rule{
		{Name: sal.MustParseName("svc:shop/*"), Policy: serval.Policy{Mode: serval.Redundant}},
		{Name: sal.MustParseName("svc:*"), Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Policy: serval.Policy{Mode: serval.Failover}},
	}})
	for _, tc := range []struct {
		client, service string
		want            serval.Mode
	}{
		{"10.0.0.1", "svc:shop/cart", serval.Redundant},
		{"10.0.0.1", "svc:echo", serval.Failover},
		{"192.0.2.1", "svc:echo", serval.Aggregate}, // which is the default
	} {
		conn, err := o.Stream(t.Context(), client(tc.client), tc.service, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := conn.(interface{ Policy() serval.Policy }).Policy().Mode; got != tc.want {
			t.Errorf("%s to %s: %v, want %v", tc.client, tc.service, got, tc.want)
		}
	}
}

// TestGreedy: a client whose dials all wait for a silent service keeps nobody from
// dialling.
func TestGreedy(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	c.Silent("svc:silent")
	o := New(Config{Node: c.NodeWith(serval.Config{DialTimeout: time.Hour}), MaxDials: 8, NoPin: true, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	busy := make(chan error, 100)
	for range 100 {
		wg.Go(func() {
			if _, err := o.Stream(ctx, client("192.0.2.66"), "svc:silent", 0); IsBusy(err) {
				busy <- err
			}
		})
	}
	<-busy // the queue is full
	for range 20 {
		conn, who := reach(t, o, client("10.0.0.1"))
		conn.Close()
		if who == "" {
			t.Error("nobody answered")
		}
	}
	cancel()
	wg.Wait()
	if n := o.dials.Taken() + o.dials.Clients(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

// TestPinsAreBounded: what is remembered of clients is, and those beyond are served all
// the same.
func TestPinsAreBounded(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	o := New(Config{Node: c.Node(), MaxPins: 10})
	for i := range 40 {
		conn, _ := reach(t, o, client(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String()))
		defer conn.Close()
	}
	if n := len(o.pins.m); n != 10 {
		t.Errorf("%d clients are remembered, at most 10 wanted", n)
	}
}

// TestForeign tells which addresses a proxy leads to.
func TestForeign(t *testing.T) {
	for addr, want := range map[string][3]bool{ // public; any, by a name; any, by the address
		"8.8.8.8":             {true, true, true},
		"2606:4700::1":        {true, true, true},
		"10.1.2.3":            {false, true, true},
		"fd00::1":             {false, true, true},
		"100.64.0.1":          {false, true, true},
		"198.18.0.9":          {false, true, true},
		"127.0.0.1":           {false, false, true},
		"::1":                 {false, false, true},
		"::ffff:127.0.0.1":    {false, false, true},
		"0.0.0.0":             {false, false, true},
		"169.254.169.254":     {false, false, true},
		"fe80::1":             {false, false, true},
		"224.0.0.1":           {false, false, true},
		"255.255.255.255":     {false, true, true},
		"64:ff9b::7f00:1":     {false, true, true},
		"fd5e:7276:616c::1:1": {false, true, true},
	} {
		a := netip.MustParseAddr(addr)
		got := [3]bool{ForeignPublic.reaches(a, true), ForeignAny.reaches(a, false), ForeignAny.reaches(a, true)}
		if got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	for _, f := range []Foreign{ForeignNone, ForeignPublic, ForeignAny} {
		var again Foreign
		if text, _ := f.MarshalText(); again.UnmarshalText(text) != nil || again != f {
			t.Errorf("%v comes back as %v", f, again)
		}
	}
}

// FuzzService: whatever a client names, it is a service only if it says so or its address
// is known to stand for one.
func FuzzService(f *testing.F) {
	for _, seed := range []string{"web.svc.serval", "WEB.SVC.SERVAL.", ".svc.serval", "svc.serval", "evilsvc.serval", "a.svc.serval.example.com",
		"127.0.0.1", "::1", "::ffff:198.18.0.1", "fe80::1%eth0", "fd5e:7276:616c::1", "localhost", "", "a..svc.serval", "a\x00.svc.serval", "svc:web"} {
		f.Add(seed)
	}
	d := &Destinations{Names: oneName{}}
	f.Fuzz(func(t *testing.T, host string) {
		name, ok := d.Service(host)
		if !ok {
			return
		}
		addr, err := netip.ParseAddr(host)
		named := strings.HasSuffix(strings.TrimSuffix(strings.ToLower(host), "."), ".svc.serval")
		if !named && (err != nil || addr.Unmap() != virtual) {
			t.Errorf("%q is taken for %q", host, name)
		}
		if parsed, err := sal.ParseName(name); err == nil && parsed.IsZero() {
			t.Errorf("%q is no name", name)
		}
	})
}

var virtual = netip.MustParseAddr("198.18.0.1")

// oneName knows one virtual address.
type oneName struct{}

func (oneName) Name(a netip.Addr) (sal.Name, bool) { return sal.MustParseName("svc:web"), a == virtual }
