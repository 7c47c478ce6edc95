package capture

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/mark"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

const roleVariable = "CAPTURE_TEST_ROLE" // set in the children of a test's host

// inHost runs the test again in a network of its own; in there it returns true.
func inHost(t *testing.T) bool {
	t.Helper()
	if _, err := findNFT(); err != nil {
		t.Skip(err)
	}
	return nodetest.Inside(t, syscall.CLONE_NEWNET)
}

// again runs the test in a child, in a role.
func again(t *testing.T, role string, flags uintptr) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// network gives the host an interface with a default route, behind which is nothing.
func network(t *testing.T) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	d := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "v0"}, PeerName: "v1"}
	must(t, netlink.LinkAdd(d))
	must(t, netlink.LinkSetUp(d))
	peer, err := netlink.LinkByName("v1")
	must(t, err)
	must(t, netlink.LinkSetUp(peer))
	for _, a := range []string{"10.0.0.1/24", "fd00::1/64"} {
		addr, err := netlink.ParseAddr(a)
		must(t, err)
		addr.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(d, addr))
	}
	must(t, netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("10.0.0.2")}))
	must(t, netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("fd00::2"), LinkIndex: d.Index}))
}

// leftovers is what is there besides what the kernel has of itself.
func leftovers(t *testing.T) string {
	t.Helper()
	tables, err := nft(t.Context(), "", "list", "ruleset")
	must(t, err)
	rules, err := netlink.RuleList(unix.AF_UNSPEC)
	must(t, err)
	left := tables
	for _, r := range rules {
		if r.Mark != 0 {
			left += r.String() + "\n"
		}
	}
	return left
}

// capture runs one until stop is called.
func capture(t *testing.T, cfg Config) (c *Capture, stop func()) {
	t.Helper()
	cfg.Handler = handler{}
	c, err := Open(t.Context(), cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	end, endNow := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, end) }()
	return c, func() {
		t.Helper()
		cancel()
		endNow()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if left := leftovers(t); left != "" {
			t.Errorf("left behind: %s", left)
		}
	}
}

// connect opens a connection and returns what it is told first.
func connect(d *net.Dialer, to string) (conn net.Conn, said string, err error) {
	if d.Timeout == 0 {
		d.Timeout = 5 * time.Second
	}
	if conn, err = d.Dial("tcp", to); err != nil {
		return nil, "", err
	}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	said, err = bufio.NewReader(io.LimitReader(conn, 100)).ReadString('\n')
	return conn, strings.TrimSpace(said), err
}

func TestHost(t *testing.T) {
	if !inHost(t) {
		return
	}
	network(t)
	for _, mode := range []string{Redirect, TPROXY} {
		c, stop := capture(t, Config{Mode: mode, To: prefixes("198.18.0.0/15", "fd5e:7276:616c::/48")})
		for _, to := range []string{"198.18.3.4:80", "[fd5e:7276:616c::7]:443", "198.19.255.254:65535"} {
			conn, said, err := connect(new(net.Dialer), to)
			if err != nil || said != to {
				t.Errorf("%s %s: %q, %v", mode, to, said, err)
				continue
			}
			if streams, _ := c.Active(); streams == 0 {
				t.Errorf("%s: no connection is counted", mode)
			}
			conn.Close()
		}
		// What servald itself opens goes where it is to go, here nowhere.
		direct := &net.Dialer{Control: mark.Control, Timeout: time.Second}
		if conn, said, err := connect(direct, "198.18.3.4:80"); err == nil {
			t.Errorf("%s: what is marked was captured: %s", mode, said)
			conn.Close()
		}
		// A service that refuses is one that resets.
		if _, _, err := connect(new(net.Dialer), "198.18.3.4:1"); err == nil {
			t.Errorf("%s: what is refused is served", mode)
		}
		// Whoever comes to our port without a detour is turned away.
		if conn, said, err := connect(new(net.Dialer), c.streams[0].Addr().String()); err == nil {
			t.Errorf("%s: a connection to the port itself: %q", mode, said)
			conn.Close()
		}
		if mode == TPROXY {
			datagram(t, "198.18.3.4:69")
			datagram(t, "[fd5e:7276:616c::7]:69")
		}
		stop()
	}
}

// datagram sends one, and looks where the answer comes from.
func datagram(t *testing.T, to string) {
	t.Helper()
	network := "udp4"
	if strings.HasPrefix(to, "[") {
		network = "udp6"
	}
	pc, err := net.ListenPacket(network, ":0")
	must(t, err)
	defer pc.Close()
	dst := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))
	for range 2 {
		pc.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = pc.WriteTo([]byte("hello"), dst)
		must(t, err)
		b := make([]byte, 100)
		n, from, err := pc.ReadFrom(b)
		if err != nil || string(b[:n]) != to+" hello" || from.(*net.UDPAddr).Port != dst.Port+1 || !from.(*net.UDPAddr).IP.Equal(dst.IP) {
			t.Errorf("%s: %q from %v, %v", to, b[:n], from, err)
		}
	}
}

// TestSomeOnly: ports and users that are not named are left alone.
func TestSomeOnly(t *testing.T) {
	if !inHost(t) {
		return
	}
	network(t)
	_, stop := capture(t, Config{To: prefixes("198.18.0.0/15"), Ports: []uint16{80}, Users: []string{"root"}})
	if conn, said, err := connect(new(net.Dialer), "198.18.3.4:80"); err != nil || said != "198.18.3.4:80" {
		t.Errorf("%q, %v", said, err)
	} else {
		conn.Close()
	}
	if _, _, err := connect(&net.Dialer{Timeout: time.Second}, "198.18.3.4:81"); err == nil {
		t.Error("another port is captured")
	}
	stop()
	_, stop = capture(t, Config{To: prefixes("198.18.0.0/15"), Users: []string{"4711"}})
	if _, _, err := connect(&net.Dialer{Timeout: time.Second}, "198.18.3.4:80"); err == nil {
		t.Error("another user's connection is captured")
	}
	stop()
}

// TestKilled: of one that is killed nothing is left, at the latest when the next
// starts.
func TestKilled(t *testing.T) {
	if os.Getenv(roleVariable) == "victim" {
		_, _ = capture(t, Config{Mode: TPROXY, To: prefixes("198.18.0.0/15")})
		fmt.Println("captures")
		select {}
	}
	if !inHost(t) {
		return
	}
	network(t)
	victim := again(t, "victim", 0)
	out, err := victim.StdoutPipe()
	must(t, err)
	must(t, victim.Start())
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "captures"; {
	}
	if left := leftovers(t); !strings.Contains(left, "tproxy") {
		t.Fatalf("it does not capture: %s", left)
	}
	// What lives is not swept away.
	must(t, Sweep(t.Context()))
	if left := leftovers(t); strings.Count(left, "5e72") < 3 {
		t.Errorf("what lives was swept away, left is %s", left)
	}
	must(t, victim.Process.Kill())
	victim.Wait()
	for end := time.Now().Add(10 * time.Second); strings.Contains(leftovers(t), "tproxy") && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	// As an older kernel would have left it.
	old := table{victim.Process.Pid, numberBase | 0x123}
	_, err = nft(t.Context(), old.rules(Config{Mode: Redirect, From: Host, To: prefixes("198.18.0.0/15")}, nil, ports{1, 0}, false), "-f", "-")
	must(t, err)
	must(t, Sweep(t.Context()))
	if left := leftovers(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
