package underlay

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const insideNamespace = "UNDERLAY_TEST_NAMESPACE"

// inNamespace runs the rest of the test in another process, in an empty network
// namespace with loopback up, and reports whether this is that process.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideNamespace) != "" {
		must(t, netlink.LinkSetUp(link(t, "lo")))
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), insideNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	return l
}

// peer is another host, a namespace of a thread that it owns.
type peer struct {
	ns   netns.NsHandle
	nl   *netlink.Handle
	call chan func()
}

func newPeer(t *testing.T) *peer {
	p := &peer{call: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: it dies with its goroutine
		var err error
		p.ns, err = netns.New()
		ready <- err
		for f := range p.call {
			f()
		}
	}()
	must(t, <-ready)
	t.Cleanup(func() { close(p.call) })
	var err error
	p.nl, err = netlink.NewHandleAt(p.ns)
	must(t, err)
	lo, err := p.nl.LinkByName("lo")
	must(t, err)
	must(t, p.nl.LinkSetUp(lo))
	return p
}

// listen opens a socket of the peer's; with a device, for what comes by it.
func (p *peer) listen(t *testing.T, addr netip.AddrPort, device string) *net.UDPConn {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) (err error) {
		rc.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			if device != "" {
				err = unix.BindToDevice(int(fd), device)
			}
		})
		return err
	}}
	var c net.PacketConn
	var err error
	done := make(chan struct{})
	p.call <- func() {
		defer close(done)
		c, err = lc.ListenPacket(t.Context(), "udp", addr.String())
	}
	<-done
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

func prefix(s string) *netlink.Addr {
	a, err := netlink.ParseAddr(s)
	if err != nil {
		panic(err)
	}
	a.Flags = unix.IFA_F_NODAD
	return a
}

// cable joins this host with the peer and routes everything over it, as the
// n-th choice.
func cable(t *testing.T, p *peer, n int, name string, near, far []string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = name, netlink.NsFd(p.ns)
	must(t, netlink.LinkAdd(veth))
	here, err := netlink.LinkByName(name)
	must(t, err)
	there, err := p.nl.LinkByName(name)
	must(t, err)
	for i := range near {
		must(t, netlink.AddrAdd(here, prefix(near[i])))
		must(t, p.nl.AddrAdd(there, prefix(far[i])))
	}
	must(t, netlink.LinkSetUp(here))
	must(t, p.nl.LinkSetUp(there))
	waitFor(t, "a carrier", func() bool { return running(t, name) })
	for i := range far {
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: here.Attrs().Index, Gw: prefix(far[i]).IP, Priority: 100 + n}))
	}
}

func running(t *testing.T, name string) bool {
	all, err := new(UDP).Interfaces()
	must(t, err)
	return slices.ContainsFunc(all, func(i Interface) bool { return i.Name == name && i.Running })
}

// watch tells of changes that u notices.
func watch(t *testing.T, u *UDP) (changed <-chan struct{}, stop func()) {
	t.Helper()
	c := make(chan struct{}, 1)
	stop, err := u.Watch(func() {
		select {
		case c <- struct{}{}:
		default:
		}
	})
	must(t, err)
	return c, stop
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
