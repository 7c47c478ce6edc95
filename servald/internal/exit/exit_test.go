package exit

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/tun"
)

// local is an address of this host that is not loopback.
func local(t *testing.T) netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Skip("this host has no IPv4 address but loopback")
	return netip.Addr{}
}

// echo answers each datagram with itself and the sender's address.
func echo(t *testing.T, addr netip.Addr) netip.AddrPort {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			conn.WriteToUDPAddrPort(append(buf[:n:n], from.String()...), from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestDatagrams(t *testing.T) {
	e := New(Config{})
	addr := local(t)
	one, two := echo(t, addr), echo(t, addr)
	src := netip.MustParseAddrPort("192.0.0.2:40001")
	d, err := e.Datagrams(t.Context(), src, one)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(to netip.AddrPort) string {
		t.Helper()
		buf := make([]byte, 1500)
		if _, err := d.WriteTo([]byte("hello "), to.Port()); err != nil {
			t.Fatal(err)
		}
		d.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, port, err := d.ReadFrom(buf)
		if err != nil || port != to.Port() {
			t.Fatalf("answer from port %d, %v; want port %d", port, err, to.Port())
		}
		return string(buf[:n])
	}
	if a, b := ask(one), ask(two); a != b {
		t.Errorf("two servers saw the client as %q and %q, not at one address", a, b)
	}
	d.SetReadDeadline(time.Unix(1, 0))
	if _, _, err := d.ReadFrom(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Errorf("a read after its deadline: %v", err)
	}
	d.Close()
	if _, _, err := d.ReadFrom(make([]byte, 1)); !errors.Is(err, net.ErrClosed) && !isTimeout(err) {
		t.Errorf("a read after Close: %v", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.ports) != 0 {
		t.Errorf("%d ports are left", len(e.ports))
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func TestRefusedDatagrams(t *testing.T) {
	addr := local(t)
	closed, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		t.Fatal(err)
	}
	to := closed.LocalAddr().(*net.UDPAddr).AddrPort()
	closed.Close()
	e := New(Config{})
	d, err := e.Datagrams(t.Context(), netip.MustParseAddrPort("192.0.0.2:40002"), to)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	buf := make([]byte, 100)
	d.WriteTo([]byte("x"), to.Port())
	d.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, port, err := d.ReadFrom(buf); !errors.Is(err, syscall.ECONNREFUSED) || port != to.Port() {
		t.Fatalf("after sending to a closed port: port %d, %v", port, err)
	}
	// The socket goes on with others.
	open := echo(t, addr)
	d.WriteTo([]byte("x"), open.Port())
	d.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, port, err := d.ReadFrom(buf); err != nil || port != open.Port() {
		t.Errorf("answer from port %d, %v; want port %d", port, err, open.Port())
	}
}

func TestPortsAreBounded(t *testing.T) {
	e := New(Config{MaxPorts: 1})
	dst := netip.MustParseAddrPort("192.0.2.1:53")
	d, err := e.Datagrams(t.Context(), netip.MustParseAddrPort("192.0.0.2:40003"), dst)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Datagrams(t.Context(), netip.MustParseAddrPort("192.0.0.2:40004"), dst); err == nil {
		t.Error("a second port was opened")
	}
	d.Close()
	d, err = e.Datagrams(t.Context(), netip.MustParseAddrPort("192.0.0.2:40004"), dst)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

func TestSpecialAddresses(t *testing.T) {
	e := New(Config{Refuse: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.7") }})
	for _, text := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1", "192.0.2.7"} {
		dst := netip.AddrPortFrom(netip.MustParseAddr(text), 80)
		if _, err := e.Stream(t.Context(), netip.AddrPort{}, dst); !tun.IsUnreachable(err) {
			t.Errorf("a stream to %v: %v", dst, err)
		}
		if _, err := e.Datagrams(t.Context(), netip.AddrPort{}, dst); !tun.IsUnreachable(err) {
			t.Errorf("datagrams to %v: %v", dst, err)
		}
		if err := e.Ping(t.Context(), dst.Addr()); !tun.IsUnreachable(err) {
			t.Errorf("a ping of %v: %v", dst, err)
		}
	}
}

func TestPing(t *testing.T) {
	addr := local(t)
	conn, _, err := openICMP(addr)
	if err != nil {
		t.Skip(err)
	}
	conn.Close()
	if err := New(Config{}).Ping(t.Context(), addr); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := New(Config{}).Ping(ctx, netip.MustParseAddr("192.0.2.213")); err == nil {
		t.Error("an address that nobody has answered")
	}
}
