package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
)

const (
	roleVariable  = "DAEMON_TEST_ROLE" // of a process that this test starts
	tokenVariable = "DAEMON_TEST_TOKEN"
	seedVariable  = "DAEMON_TEST_SEED"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMoves gives hosts of a small network other addresses, in other subnets,
// and looks how soon programs on other hosts find the programs there: one moves,
// two move at once, one changes over to another interface, and everybody's seed
// moves.
func TestMoves(t *testing.T) {
	switch os.Getenv(roleVariable) {
	case "host":
		host(t)
		return
	case "":
		if os.Geteuid() != 0 {
			t.Skip("needs root for network namespaces")
		}
		cmd := again(t, "router", "", "")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		must(t, err)
		return
	}
	// In a namespace of its own, this process is the router.
	must(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	token := newToken(t).String()
	seed := newHost(t, 1, token, "")
	a, b := newHost(t, 2, token, seed.addr.String()+":7946"), newHost(t, 3, token, seed.addr.String()+":7946")
	found := func(what string, pairs ...*remote) {
		t.Helper()
		begin := time.Now()
		for i := 0; i < len(pairs); i += 2 {
			viewer, h := pairs[i], pairs[i+1]
			for viewer.ask(t, h.node) != h.addr.String() {
				if time.Since(begin) > 30*time.Second {
					t.Fatalf("%s: %v is at %s, not %v", what, h.node, viewer.ask(t, h.node), h.addr)
				}
				time.Sleep(time.Millisecond)
			}
		}
		t.Logf("%s: found after %v", what, time.Since(begin))
		// Who moves again before the daemons know each other's addresses may get
		// lost.
		for _, h := range []*remote{seed, a, b} {
			for !h.knows(t, seed, a, b) {
				if time.Since(begin) > 30*time.Second {
					t.Fatalf("%s: the members are %s", what, h.ask(t, members))
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	found("start", seed, a, seed, b, a, b, b, a)
	a.move(t, 4)
	found("one moves", b, a, a, b)
	a.move(t, 5)
	b.move(t, 6)
	found("both move", a, b, b, a)
	a.change(t, 7)
	found("another interface", b, a, a, b)
	b.flap(t)
	a.move(t, 8)
	found("one flaps, one moves", b, a, a, b)
	seed.move(t, 9)
	found("the seed moves", a, seed, seed, a)
	b.move(t, 10)
	seed.move(t, 11)
	found("the seed moves with one", a, seed, b, seed, seed, b, a, b)
}

// again starts this test in another process in a network namespace of its own.
func again(t *testing.T, role, token, seed string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestMoves$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), roleVariable+"="+role, tokenVariable+"="+token, seedVariable+"="+seed)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// remote is another process, a host.
type remote struct {
	pid   int
	addr  netip.Addr
	node  string // of the program there
	nl    *netlink.Handle
	iface string
	in    io.Writer
	out   *bufio.Scanner
}

func newHost(t *testing.T, subnet byte, token, seed string) *remote {
	t.Helper()
	cmd := again(t, "host", token, seed)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	h := &remote{pid: cmd.Process.Pid, in: in, out: bufio.NewScanner(out)}
	ns, err := netns.GetFromPid(h.pid)
	must(t, err)
	h.nl, err = netlink.NewHandleAt(ns)
	must(t, err)
	lo, err := h.nl.LinkByName("lo")
	must(t, err)
	must(t, h.nl.LinkSetUp(lo))
	h.cable(t, subnet)
	h.join(t, subnet)
	fmt.Fprintln(in, "start")
	h.node = h.read(t)
	return h
}

// cable lays one from the router to the host.
func (h *remote) cable(t *testing.T, n byte) {
	t.Helper()
	h.iface = fmt.Sprintf("eth%d", n)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = h.iface
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = h.iface, netlink.NsPid(h.pid)
	must(t, netlink.LinkAdd(veth))
	near, err := netlink.LinkByName(h.iface)
	must(t, err)
	must(t, netlink.LinkSetUp(near))
}

// join gives the host an address in a subnet, with the router's help.
func (h *remote) join(t *testing.T, subnet byte) {
	t.Helper()
	net4 := func(last byte) *netlink.Addr {
		return &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 0, subnet, last).To4(), Mask: net.CIDRMask(24, 32)}}
	}
	near, err := netlink.LinkByName(h.iface)
	must(t, err)
	must(t, netlink.AddrAdd(near, net4(1)))
	h.addr = netip.AddrFrom4([4]byte{10, 0, subnet, 2})
	far, err := h.nl.LinkByName(h.iface)
	must(t, err)
	must(t, h.nl.LinkSetUp(far))
	must(t, h.nl.AddrAdd(far, net4(2)))
	h.route(t)
}

func (h *remote) route(t *testing.T) {
	t.Helper()
	gw := h.addr.As4()
	gw[3] = 1
	must(t, h.nl.RouteReplace(&netlink.Route{Gw: gw[:]}))
}

// move gives the host's interface another address.
func (h *remote) move(t *testing.T, subnet byte) {
	t.Helper()
	far, err := h.nl.LinkByName(h.iface)
	must(t, err)
	addrs, err := h.nl.AddrList(far, netlink.FAMILY_V4)
	must(t, err)
	for _, a := range addrs {
		must(t, h.nl.AddrDel(far, &a))
	}
	h.join(t, subnet)
}

// change takes the host's interface away and gives it another.
func (h *remote) change(t *testing.T, subnet byte) {
	t.Helper()
	near, err := netlink.LinkByName(h.iface)
	must(t, err)
	must(t, netlink.LinkDel(near))
	h.cable(t, subnet)
	h.join(t, subnet)
}

// flap takes the carrier away for a moment.
func (h *remote) flap(t *testing.T) {
	t.Helper()
	near, err := netlink.LinkByName(h.iface)
	must(t, err)
	must(t, netlink.LinkSetDown(near))
	time.Sleep(50 * time.Millisecond)
	must(t, netlink.LinkSetUp(near))
}

// ask asks where a node is.
func (h *remote) ask(t *testing.T, node string) string {
	t.Helper()
	fmt.Fprintln(h.in, node)
	return h.read(t)
}

// members asks for the addresses of the gossip's members.
const members = "members"

func (h *remote) knows(t *testing.T, others ...*remote) bool {
	t.Helper()
	all := strings.Fields(h.ask(t, members))
	for _, o := range others {
		if !slices.Contains(all, o.addr.String()) {
			return false
		}
	}
	return true
}

func (h *remote) read(t *testing.T) string {
	t.Helper()
	for h.out.Scan() {
		if answer, ok := strings.CutPrefix(h.out.Text(), "> "); ok {
			return answer
		}
		t.Log(h.out.Text())
	}
	t.Fatal("a host has died")
	return ""
}

// host runs a daemon, and a program that announces itself there and answers
// questions.
func host(t *testing.T) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan() // there is a network now
	token, err := identity.ParseToken(os.Getenv(tokenVariable))
	must(t, err)
	cfg := newConfig(t, token)
	cfg.Gossip = netip.MustParseAddrPort("0.0.0.0:7946")
	if seed := os.Getenv(seedVariable); seed != "" {
		cfg.Seeds = []string{seed}
		cfg.Gossip = netip.AddrPort{}
	}
	cfg.Socket = filepath.Join(filepath.Dir(cfg.Socket), "d")
	start(t, cfg)
	c := control.NewClient(cfg.Socket)
	defer c.Close()
	id, err := identity.Request(identity.Member{}, time.Now(), func(request []byte) ([]byte, error) {
		return c.Certify(t.Context(), request)
	})
	must(t, err)

	network := new(underlay.UDP)
	addrs := func() (all []netip.AddrPort) {
		list, err := network.LocalAddrs()
		must(t, err)
		for _, a := range list {
			if a.Is4() && !a.IsLoopback() {
				all = append(all, netip.AddrPortFrom(a, 4000))
			}
		}
		return all
	}
	for len(addrs()) == 0 { // the carrier takes a moment
		time.Sleep(time.Millisecond)
	}
	lease, err := resolver.RegisterNode(t.Context(), c, id, addrs())
	must(t, err)
	stop, err := network.Watch(func() {
		if all := addrs(); len(all) > 0 {
			if err := lease.(resolver.Updater).Update(context.Background(), resolver.At(all...)); err != nil {
				t.Error(err)
			}
		}
	})
	must(t, err)
	defer stop()
	fmt.Println(">", id.Node())
	for lines.Scan() {
		if lines.Text() == members {
			var s Status
			must(t, c.Status(t.Context(), &s))
			line := ">"
			for _, m := range s.Members {
				line += " " + netip.MustParseAddrPort(m.Gossip).Addr().String()
			}
			fmt.Println(line)
			continue
		}
		node, err := identity.ParseNodeID(lines.Text())
		must(t, err)
		found, err := resolver.LookupNode(t.Context(), c, node)
		if err == nil {
			fmt.Println(">", found[0].Addr())
		} else {
			fmt.Println("> nowhere")
		}
	}
}
