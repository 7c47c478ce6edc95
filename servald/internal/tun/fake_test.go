package tun

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
)

// fake is a Handler made of functions; nil ones refuse.
type fake struct {
	stream    func(ctx context.Context, src, dst netip.AddrPort) (net.Conn, error)
	datagrams func(ctx context.Context, src, dst netip.AddrPort) (Datagrams, error)
	ping      func(ctx context.Context, dst netip.Addr) error
}

func (f fake) Stream(ctx context.Context, src, dst netip.AddrPort) (net.Conn, error) {
	if f.stream == nil {
		return nil, syscall.ECONNREFUSED
	}
	return f.stream(ctx, src, dst)
}

func (f fake) Datagrams(ctx context.Context, src, dst netip.AddrPort) (Datagrams, error) {
	if f.datagrams == nil {
		return nil, syscall.ECONNREFUSED
	}
	return f.datagrams(ctx, src, dst)
}

func (f fake) Ping(ctx context.Context, dst netip.Addr) error {
	if f.ping == nil {
		return ErrUnreachable
	}
	return f.ping(ctx, dst)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}
