// Package exit is the way out for what is meant for no service: sockets of this host.
// It is a [tun.Handler], so that programs whose only route leads into a TUN still
// reach the rest of the world as this host does: TCP, UDP, and ping where the system
// lets this process ping.
package exit

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/servald/internal/tun"
)

// DefaultMaxPorts is how many UDP ports of clients have a socket at once.
const DefaultMaxPorts = 4096

// Config bounds an Exit. Zero fields have the defaults that they name.
type Config struct {
	// MaxPorts is how many UDP ports of clients are open at once: DefaultMaxPorts.
	// Datagrams from more are answered by port unreachable.
	MaxPorts int

	// Refuse, if it is not nil, says which addresses not to go to. Those that are only
	// meaningful on this host itself, such as loopback, are refused always.
	Refuse func(netip.Addr) bool

	// Log is told what fails, at debug level; nil discards.
	Log *slog.Logger
}

// Exit implements tun.Handler. Its methods are safe for concurrent use.
type Exit struct {
	cfg Config

	mu    sync.Mutex
	ports map[netip.AddrPort]*port // by client
}

var _ tun.Handler = (*Exit)(nil)

// New returns an Exit. It needs no closing: a UDP port is closed with its last flow.
func New(cfg Config) *Exit {
	if cfg.MaxPorts <= 0 {
		cfg.MaxPorts = DefaultMaxPorts
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Exit{cfg: cfg, ports: make(map[netip.AddrPort]*port)}
}

// check refuses addresses that mean another host, or none, where the client is.
func (e *Exit) check(dst netip.Addr) error {
	dst = dst.Unmap()
	switch {
	case dst.IsLoopback(), dst.IsUnspecified(), dst.IsMulticast(), dst.IsLinkLocalUnicast() && dst.Is6():
		return fmt.Errorf("%v means nothing beyond the host it is used on: %w", dst, tun.ErrUnreachable)
	case e.cfg.Refuse != nil && e.cfg.Refuse(dst):
		return fmt.Errorf("%v is not to be reached from here: %w", dst, tun.ErrUnreachable)
	}
	return nil
}

// Stream implements tun.Handler: it connects to dst. Keep-alive is left to the client,
// whose connection this continues.
func (e *Exit) Stream(ctx context.Context, _, dst netip.AddrPort) (net.Conn, error) {
	if err := e.check(dst.Addr()); err != nil {
		return nil, err
	}
	d := net.Dialer{KeepAlive: -1}
	return d.DialContext(ctx, "tcp", dst.String())
}

// Datagrams implements tun.Handler. All that a port of a client sends leaves by one
// socket, wherever it goes, so that others see the client at one address (RFC 4787,
// 4.1), and if it is free by the same port.
func (e *Exit) Datagrams(_ context.Context, src, dst netip.AddrPort) (tun.Datagrams, error) {
	if err := e.check(dst.Addr()); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.ports[src]
	if p == nil {
		if len(e.ports) >= e.cfg.MaxPorts {
			return nil, fmt.Errorf("%d UDP ports are in use already", len(e.ports))
		}
		conn, err := listen(src)
		if err != nil {
			return nil, err
		}
		p = &port{client: src, conn: conn, flows: make(map[netip.Addr]*flow), done: make(chan struct{})}
		e.ports[src] = p
		go func() {
			defer close(p.done)
			p.receive()
			e.drop(p)
		}()
	}
	return p.open(e, dst.Addr())
}

// drop forgets a port whose socket has ended.
func (e *Exit) drop(p *port) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ports[p.client] == p {
		delete(e.ports, p.client)
	}
}

// listen opens a client's socket, at the client's own port if that is free here.
func listen(client netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if client.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, &net.UDPAddr{Port: int(client.Port())})
	if err != nil {
		conn, err = net.ListenUDP(network, nil)
	}
	if err != nil {
		return nil, err
	}
	if err := reportErrors(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// pingTimeout is how long Ping waits for an answer if ctx has no earlier deadline.
const pingTimeout = 10 * time.Second
