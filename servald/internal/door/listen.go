package door

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"github.com/serval-net/serval/internal/unixsock"
)

// Listen listens at an address of this host, for connections; network is "tcp" or
// "unix". The socket of a program that was killed is replaced. Errors say what to do.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if network == "unix" {
		// Where somebody listens, ours fails and says so.
		if _, err := unixsock.RemoveStale(address); err != nil {
			return nil, err
		}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, network, literal(address))
	return ln, Explain(address, err)
}

// ListenUDP listens at an address of this host, for datagrams. Errors say what to do.
func ListenUDP(ctx context.Context, address string) (*net.UDPConn, error) {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", literal(address))
	if err != nil {
		return nil, Explain("udp:"+address, err)
	}
	return conn.(*net.UDPConn), nil
}

// literal puts loopback in place of localhost, what needs no asking (RFC 6761, 6.3):
// the DNS server to ask may be the one that is to listen.
func literal(address string) string {
	if host, port, err := net.SplitHostPort(address); err == nil && host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// Explain adds to the error of listening at an address what to do about it.
func Explain(address string, err error) error {
	var what string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		what = "another program listens there; end it (`ss -lnp` shows which) or choose another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		what = "no interface of this host has that address"
	case errors.Is(err, fs.ErrPermission):
		what = "ports below 1024 need root or CAP_NET_BIND_SERVICE, and sockets a directory that can be written"
	default:
		return err
	}
	return fmt.Errorf("cannot listen at %s: %s (%w)", address, what, err)
}
