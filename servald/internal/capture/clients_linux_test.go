package capture

import (
	"bufio"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestClients: a neighbour that knows nothing but its default route reaches services by
// the host that it routes through, while the host's own programs are left alone.
func TestClients(t *testing.T) {
	if os.Getenv(roleVariable) == "client" {
		neighbour(t)
		return
	}
	if !inHost(t) {
		return
	}
	network(t) // with v0 for what is beyond; v1 of no use here
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "c0"}, PeerName: "c1"}))
	for _, f := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		must(t, os.WriteFile("/proc/sys/net/"+f, []byte("1"), 0))
	}
	attach(t, "c0", "10.1.0.1/24", "fd01::1/64")

	client := again(t, "client", syscall.CLONE_NEWNET)
	start, err := client.StdinPipe()
	must(t, err)
	out, err := client.StdoutPipe()
	must(t, err)
	client.Stderr = os.Stderr
	must(t, client.Start())
	c1, err := netlink.LinkByName("c1")
	must(t, err)
	must(t, netlink.LinkSetNsPid(c1, client.Process.Pid))
	lines := bufio.NewScanner(out)
	for _, mode := range []string{Redirect, TPROXY} {
		_, stop := capture(t, Config{Mode: mode, From: Clients, To: prefixes("198.18.0.0/15", "fd5e:7276:616c::/48")})
		_, err := io.WriteString(start, mode+"\n")
		must(t, err)
		for lines.Scan() && lines.Text() != "done" {
			if strings.Contains(lines.Text(), "FAIL") {
				t.Error(lines.Text())
			}
			t.Log(lines.Text())
		}
		stop()
	}
	start.Close()
	io.Copy(io.Discard, out)
	if err := client.Wait(); err != nil {
		t.Errorf("the client: %v", err)
	}
}

// attach gives an interface addresses and takes it up.
func attach(t *testing.T, name string, addrs ...string) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	must(t, netlink.LinkSetUp(link))
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		must(t, err)
		addr.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(link, addr))
	}
}

// neighbour is the client, told on standard input which mode is tried.
func neighbour(t *testing.T) {
	modes := bufio.NewScanner(os.Stdin)
	for first := true; modes.Scan(); first = false {
		if first {
			attach(t, "c1", "10.1.0.2/24", "fd01::2/64")
			c1, err := netlink.LinkByName("c1")
			must(t, err)
			must(t, netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("10.1.0.1")}))
			must(t, netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("fd01::1"), LinkIndex: c1.Attrs().Index}))
		}
		for _, to := range []string{"198.18.3.4:80", "[fd5e:7276:616c::7]:443"} {
			conn, said, err := connect(new(net.Dialer), to)
			if err != nil || said != to {
				t.Errorf("FAIL %s %s: %q, %v", modes.Text(), to, said, err)
				continue
			}
			conn.Close()
		}
		if modes.Text() == TPROXY {
			datagram(t, "198.18.3.4:69")
			datagram(t, "[fd5e:7276:616c::7]:69")
		}
		os.Stdout.WriteString("done\n")
	}
}
