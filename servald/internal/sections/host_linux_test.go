package sections

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/proxy"
	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// inHost runs the test again in a network of its own, with mounts that nobody else sees,
// where it may do as it likes; in there it returns true.
func inHost(t *testing.T) bool {
	t.Helper()
	if !nodetest.Inside(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS) {
		return false
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	return true
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// up takes loopback up.
func up(t *testing.T) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("test.toml", []byte(text))
	must(t, err)
	return c
}

// newRunner returns one that ends with the test.
func newRunner(t *testing.T, c *nodetest.Cluster) *Runner {
	t.Helper()
	r := New(Env{Node: c.Node(), Addresses: filepath.Join(t.TempDir(), "addresses"), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { r.Stop(config.Duration{}) })
	return r
}

// ownDNS asks the DNS server of the sections.
var ownDNS = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:53")
}}

// TestHost: programs of a host reach what another exposes by name and address, TCP and
// UDP, through the TUN, a local port and SOCKS5.
func TestHost(t *testing.T) {
	if !inHost(t) {
		return
	}
	up(t)
	cluster := nodetest.New(t)
	tcp := conntest.Listen(t)
	go conntest.Echo(tcp)
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	must(t, err)
	defer udp.Close()
	go conntest.EchoPackets(udp)
	server, client := newRunner(t, cluster), newRunner(t, cluster)
	_, err = server.Apply(parse(t, fmt.Sprintf("[[expose]]\nname = \"svc:echo\"\nto = \"tcp+udp:%s\"\n", tcp.Addr())))
	must(t, err)
	dir := t.TempDir()
	text := `
[dns]
[tun]
[socks5]
[http_proxy]
[[forward]]
listen = "127.0.0.1:8080"
name = "svc:echo"
[[forward]]
listen = "unix:` + dir + `/echo"
name = "svc:echo"
`
	_, err = client.Apply(parse(t, text))
	must(t, err)
	for _, s := range client.Status() {
		if s.State != component.Ready {
			t.Errorf("%+v", s)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	addrs, err := ownDNS.LookupNetIP(ctx, "ip", "echo.svc.serval")
	if err != nil || len(addrs) != 2 {
		t.Fatalf("found %v, %v", addrs, err)
	}
	echo := func(what string, c net.Conn, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintln(c, what)
		if got, err := bufio.NewReader(c).ReadString('\n'); got != what+"\n" {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	for _, a := range addrs {
		for _, network := range []string{"tcp", "udp"} {
			c, err := net.Dial(network, netip.AddrPortFrom(a.Unmap(), 7).String())
			echo(network+" to "+a.String(), c, err)
		}
	}
	c, err := net.Dial("tcp", "127.0.0.1:8080")
	echo("a local port", c, err)
	c, err = net.Dial("unix", dir+"/echo")
	echo("a local socket", c, err)
	dialer, err := proxy.SOCKS5("tcp", "localhost:1080", nil, nil)
	must(t, err)
	c, err = dialer.Dial("tcp", "echo.svc.serval:7")
	echo("socks5 by name", c, err)
	c, err = dialer.Dial("tcp", netip.AddrPortFrom(addrs[0].Unmap(), 7).String())
	echo("socks5 by address", c, err)

	c, err = net.Dial("tcp", "localhost:3128")
	must(t, err)
	io.WriteString(c, "CONNECT echo.svc.serval:7 HTTP/1.1\r\nHost: echo.svc.serval:7\r\n\r\n")
	if answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(c, 1<<10)), nil); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the HTTP proxy says %+v, %v", answer, err)
	}
	echo("http", c, nil)

	// What is open goes on when the configuration changes, also through a TUN that goes.
	for _, a := range []string{"127.0.0.1:8080", netip.AddrPortFrom(addrs[0].Unmap(), 7).String()} {
		c, err := net.Dial("tcp", a)
		must(t, err)
		defer func() { echo("after a change: "+a, c, nil) }()
	}
	_, err = client.Apply(parse(t, ""))
	must(t, err)
	if _, err := net.Dial("tcp", "127.0.0.1:8080"); err == nil {
		t.Error("what is gone takes connections")
	}
	if list := client.Status(); len(list) == 0 {
		t.Error("nothing is ending, though connections are open")
	}
}

// TestCapture: a service is reached at an address that programs know, of which none
// knows better, though its server is there, and is asked there how it is; the rules go
// with the section.
func TestCapture(t *testing.T) {
	if !inHost(t) {
		return
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft of nftables")
	}
	up(t)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "v0"}, PeerName: "v1"}
	must(t, netlink.LinkAdd(veth))
	must(t, netlink.LinkSetUp(veth))
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	must(t, err)
	must(t, netlink.AddrAdd(veth, addr))
	// The server is at the address that is captured: servald must not meet itself.
	addr, err = netlink.ParseAddr("192.0.2.80/32")
	must(t, err)
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.AddrAdd(lo, addr))
	var asked atomic.Int64
	server, err := net.Listen("tcp", "192.0.2.80:80")
	must(t, err)
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\n")
			}
			c.Close()
		}
	}()
	packets, err := net.ListenPacket("udp", "192.0.2.80:80")
	must(t, err)
	defer packets.Close()
	go conntest.EchoPackets(packets)
	r := newRunner(t, nodetest.New(t))
	text := `
[[expose]]
name = "svc:web"
to = "tcp+udp:192.0.2.80:80"
check = "http://192.0.2.80/"
check_every = "5ms"
[[capture]]
mode = "tproxy"
to = ["192.0.2.80/32"]
ports = [80]
name = "svc:web"
`
	_, err = r.Apply(parse(t, text))
	must(t, err)
	for !slices.ContainsFunc(r.Status(), func(s component.Status) bool { return s.Kind == "expose" && strings.Contains(s.Info, "serving") }) {
		if t.Context().Err() != nil {
			t.Fatalf("not served: %+v", r.Status())
		}
		time.Sleep(time.Millisecond)
	}
	c, err := net.Dial("tcp", "192.0.2.80:80")
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if got, err := bufio.NewReader(c).ReadString('\n'); got != "HTTP/1.0 200 OK\r\n" {
		t.Errorf("captured: %q, %v", got, err)
	}
	u, err := net.Dial("udp", "192.0.2.80:80")
	must(t, err)
	defer u.Close()
	u.SetDeadline(time.Now().Add(10 * time.Second))
	u.Write([]byte("hello"))
	if n, err := u.Read(make([]byte, 64)); n != 5 || err != nil {
		t.Errorf("captured: %d bytes, %v", n, err)
	}
	for n := asked.Load(); asked.Load() < n+5; {
		time.Sleep(time.Millisecond)
	}
	for _, s := range r.Status() {
		if s.Kind == "expose" && !strings.HasSuffix(s.Info, "of 2") {
			t.Errorf("not one connection and one client's datagrams came by the service: %+v", s)
		}
	}
	_, err = r.Apply(parse(t, ""))
	must(t, err)
	if left, err := exec.Command("nft", "list", "ruleset").CombinedOutput(); err != nil || len(left) > 0 {
		t.Errorf("left behind: %s, %v", left, err)
	}
}

// TestTaken: what is taken is said, together with what to do.
func TestTaken(t *testing.T) {
	if !inHost(t) {
		return
	}
	up(t)
	one, err := net.Listen("tcp", "127.0.0.1:53")
	must(t, err)
	defer one.Close()
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", nil, 0o600))
	r := newRunner(t, nodetest.New(t))
	_, err = r.Apply(parse(t, `
[dns]
[tun]
[[forward]]
listen = "127.0.0.1:53"
name = "svc:a"
[[forward]]
listen = "192.0.2.1:80"
name = "svc:a"
[[forward]]
listen = "unix:`+dir+`/file"
name = "svc:a"
[[expose]]
name = "svc:b"
to = "127.0.0.1:1"
`))
	for _, want := range []string{
		"dns 127.0.0.1:53 does not run: DNS: 127.0.0.1:53 is in use, by another DNS server or servald: choose another address",
		"forward 127.0.0.1:53 does not run: cannot listen at 127.0.0.1:53: another program listens there",
		"forward 192.0.2.1:80 does not run: cannot listen at 192.0.2.1:80: no interface of this host has that address",
		"file is in the way and no socket",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	for _, s := range r.Status() {
		if want := s.Kind == "tun" || s.Kind == "expose"; (s.State == component.Ready) != want {
			t.Errorf("%+v", s)
		}
	}
	if _, err := os.Stat(dir + "/file"); err != nil {
		t.Error("what was in the way is gone")
	}
	// A second servald finds the first one's device in use.
	_, err = newRunner(t, nodetest.New(t)).Apply(parse(t, "[tun]"))
	if err == nil || !strings.Contains(err.Error(), "serval0") || !strings.Contains(err.Error(), "another servald") {
		t.Errorf("a second TUN: %v", err)
	}
	// When the port is free again, what wanted it runs without anybody's help.
	one.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		ready := 0
		for _, s := range r.Status() {
			if strings.HasSuffix(s.Name, "127.0.0.1:53") && s.State == component.Ready {
				ready++
			}
		}
		if ready > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it does not recover: %+v", r.Status())
		}
	}
}
