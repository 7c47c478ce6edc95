package daemon

import (
	"net"
	"net/netip"
	"testing"
)

func TestBindTo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	seeds := []string{"host.invalid:7946", "192.0.2.1:7946", addr}
	if got := BindTo(seeds); got.IsValid() {
		t.Errorf("binds to %v, which is taken", got)
	}
	ln.Close()
	if got := BindTo(seeds); got.String() != addr {
		t.Errorf("binds to %v, want %s", got, addr)
	}
}

func TestDefaultSeed(t *testing.T) {
	if addr, err := netip.ParseAddrPort(DefaultSeed()); err != nil || addr.Port() == 0 {
		t.Errorf("default seed %v, %v", addr, err)
	}
}
