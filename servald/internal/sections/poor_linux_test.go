package sections

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// TestNoIPv6: on a host without IPv6 everything runs with IPv4, and DNS names no
// addresses that programs could not use.
func TestNoIPv6(t *testing.T) {
	if !inHost(t) {
		return
	}
	up(t)
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err != nil {
		t.Skipf("IPv6 cannot be turned off: %v", err)
	}
	cluster := nodetest.New(t)
	cluster.Echo("svc:echo")
	r := newRunner(t, cluster)
	_, err := r.Apply(parse(t, "[dns]\n[tun]\n[socks5]\n"))
	must(t, err)
	addrs, err := ownDNS.LookupNetIP(t.Context(), "ip", "echo.svc.serval")
	if err != nil || len(addrs) != 1 || !addrs[0].Unmap().Is4() {
		t.Fatalf("found %v, %v", addrs, err)
	}
	c, err := net.Dial("tcp", netip.AddrPortFrom(addrs[0].Unmap(), 7).String())
	must(t, err)
	c.Close()
}

// TestNoTUN: without TUN devices the rest runs, and it is said what to do.
func TestNoTUN(t *testing.T) {
	if !inHost(t) {
		return
	}
	up(t)
	must(t, unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""))
	r := newRunner(t, nodetest.New(t))
	_, err := r.Apply(parse(t, "[dns]\n[tun]\n[socks5]\n"))
	if err == nil || !strings.Contains(err.Error(), "tun serval0 does not run") || !strings.Contains(err.Error(), "/dev/net/tun") {
		t.Errorf("got %v", err)
	}
	for _, s := range r.Status() {
		if (s.State == component.Ready) != (s.Kind != "tun") {
			t.Errorf("%+v", s)
		}
	}
}

// logTo returns a logger that writes to b, one line at a time.
func logTo(b *strings.Builder) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// TestFullDisk: on a full disk servald serves as before; what it cannot remember it
// says, and half-written files do not stay.
func TestFullDisk(t *testing.T) {
	if !inHost(t) {
		return
	}
	up(t)
	must(t, unix.Mount("tmpfs", "/mnt", "tmpfs", 0, "size=64k"))
	full, err := os.Create("/mnt/filler")
	must(t, err)
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	full.Close()
	cluster := nodetest.New(t)
	cluster.Echo("svc:echo")
	var said strings.Builder
	r := New(Env{Node: cluster.Node(), Addresses: "/mnt/addresses", Log: logTo(&said)})
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			r.Stop(parse(t, "").Node.Drain)
		}
	}
	defer stop()
	_, err = r.Apply(parse(t, "[dns]\n[tun]\n"))
	must(t, err)
	addrs, err := ownDNS.LookupNetIP(t.Context(), "ip4", "echo.svc.serval")
	if err != nil || len(addrs) != 1 {
		t.Fatalf("found %v, %v", addrs, err)
	}
	c, err := net.Dial("tcp", netip.AddrPortFrom(addrs[0].Unmap(), 7).String())
	must(t, err)
	c.Close()
	stop()
	if !strings.Contains(said.String(), "no space left") {
		t.Errorf("nothing was said of the disk: %s", said.String())
	}
	left, err := filepath.Glob("/mnt/*")
	must(t, err)
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && path != "/mnt/filler" && info.Size() > 0 {
			t.Errorf("half-written: %s of %d bytes", path, info.Size())
		}
	}
}
