package tun

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Handler says what the addresses behind a device lead to. Its methods are called on
// goroutines of their own, many at a time; they return soon after ctx is done.
type Handler interface {
	// Stream opens what a TCP connection from src to dst is joined with. It is called
	// before the SYN is answered. An error that IsUnreachable becomes an ICMP message
	// that no host is there, any other a reset: connection refused.
	Stream(ctx context.Context, src, dst netip.AddrPort) (net.Conn, error)

	// Datagrams opens the other end of what src sends to dst.Addr(), whatever the
	// port; dst has the first one. An error becomes ICMP's port unreachable.
	Datagrams(ctx context.Context, src, dst netip.AddrPort) (Datagrams, error)

	// Ping returns nil if dst is there and answers: an ICMP echo request to it is
	// then answered.
	Ping(ctx context.Context, dst netip.Addr) error
}

// Datagrams is one client's exchange with one address: any port of it.
type Datagrams interface {
	// WriteTo sends b, which it does not keep, to the port. The error
	// syscall.ECONNREFUSED says that nobody serves the port: the client is told, and
	// the exchange goes on. Datagrams that are too large get lost.
	WriteTo(b []byte, port uint16) (int, error)
	// ReadFrom returns the next datagram and the port it is from. The error
	// syscall.ECONNREFUSED with a port says that nobody serves that, which was learnt
	// after WriteTo: the client is told, and the exchange goes on.
	ReadFrom(b []byte) (n int, port uint16, err error)
	// SetReadDeadline is as in net.Conn.
	SetReadDeadline(t time.Time) error
	// Close ends the exchange and a ReadFrom that waits.
	Close() error
}

// ErrUnreachable is for Handlers to say that nothing has the address.
var ErrUnreachable = errors.New("no host has this address")

// IsUnreachable reports whether err says that there is no host, or that it is silent;
// otherwise the host is there and said no.
func IsUnreachable(err error) bool {
	for _, e := range []error{ErrUnreachable, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ETIMEDOUT, context.DeadlineExceeded, os.ErrDeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
