package tun

import (
	"context"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/serval-net/serval/servald/internal/nodetest"
)

// inNamespace runs the rest of the test in another process, in an empty network
// namespace with loopback up, and reports whether this is that process.
func inNamespace(t testing.TB) bool {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("needs /dev/net/tun: ", err)
	}
	if !nodetest.Inside(t, syscall.CLONE_NEWNET) {
		return false
	}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	return true
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The addresses behind the device of tests.
const (
	someone  = "198.18.0.7"
	someone6 = "fd5e:7276:616c::7"
)

// start runs a stack behind a device of this namespace until the test ends.
func start(t testing.TB, h Handler, cfg Config) *Stack {
	t.Helper()
	dev, err := Open("tun-test", []netip.Prefix{netip.MustParsePrefix("198.18.0.1/15"), netip.MustParsePrefix("fd5e:7276:616c::1/48")}, 0)
	must(t, err)
	s, err := New(dev, h, cfg)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			panic("Run does not return")
		}
	})
	return s
}
