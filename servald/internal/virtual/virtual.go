// Package virtual leads what is sent to virtual addresses to the services that they
// stand for. It is the [tun.Handler] of servald's TUN and of `servald exec`.
package virtual

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/tun"
)

// Names knows virtual addresses; a *vaddr.Pool does.
type Names interface {
	Name(netip.Addr) (sal.Name, bool)
	// Hold keeps an address for its service until release is called, once or more often.
	Hold(netip.Addr) (release func())
	Contains(netip.Addr) bool
	Self() (v4, v6 netip.Addr)
}

// Services opens connections to services; an *outbound.Outbound does.
type Services interface {
	Stream(ctx context.Context, c outbound.Client, service string, port uint16) (net.Conn, error)
	Datagrams(ctx context.Context, c outbound.Client, service string, port uint16) (outbound.Datagrams, error)
	Ping(ctx context.Context, service string) error
}

// DNS answers questions; a *dns.Server does.
type DNS interface {
	// ServePacket returns the answer to a query, nil for none.
	ServePacket(ctx context.Context, query []byte, tcp bool) []byte
	// ServeStream answers queries until c ends or ctx is done, and closes c.
	ServeStream(ctx context.Context, c net.Conn)
}

// Handler leads to services what is for virtual addresses, to DNS what is for port 53
// of servald's own, and to Exit all else. Set its fields before use; the methods are
// safe for concurrent use.
type Handler struct {
	Names    Names
	Services Services

	// DNS answers at servald's own addresses. With nil, nobody listens there.
	DNS DNS

	// Exit takes what is for addresses that are not virtual. With nil, they are
	// unreachable.
	Exit tun.Handler

	// Client is what all connections are from, except for the address.
	Client outbound.Client
}

var _ tun.Handler = (*Handler)(nil)

// errNobody is for virtual addresses that were not handed out.
func errNobody(a netip.Addr) error {
	return fmt.Errorf("%w: no service has the virtual address %v; ask DNS for its name again", tun.ErrUnreachable, a)
}

// what an address is.
type what int

const (
	foreign what = iota // an address of someone else's
	self                // servald's
	service             // of a service
	nobody              // of no service any more, or yet
)

// look returns what an address is, and the service if it is one of those.
func (h *Handler) look(a netip.Addr) (sal.Name, what) {
	a = a.Unmap()
	if v4, v6 := h.Names.Self(); a == v4 || a == v6 {
		return sal.Name{}, self
	}
	if name, ok := h.Names.Name(a); ok {
		return name, service
	}
	if h.Names.Contains(a) {
		return sal.Name{}, nobody
	}
	return sal.Name{}, foreign
}

func (h *Handler) client(src netip.AddrPort) outbound.Client {
	c := h.Client
	c.Addr = src
	return c
}

// dnsPort is where servald's own addresses answer.
const dnsPort = 53

// Stream implements tun.Handler.
func (h *Handler) Stream(ctx context.Context, src, dst netip.AddrPort) (net.Conn, error) {
	name, what := h.look(dst.Addr())
	switch what {
	case self:
		if h.DNS == nil || dst.Port() != dnsPort {
			return nil, syscall.ECONNREFUSED
		}
		return dnsStream(h.DNS, src), nil
	case service:
		release := h.Names.Hold(dst.Addr())
		conn, err := h.Services.Stream(ctx, h.client(src), name.String(), dst.Port())
		if err != nil {
			release()
			return nil, classify(err)
		}
		return hold(conn, release), nil
	case nobody:
		return nil, errNobody(dst.Addr())
	}
	if h.Exit == nil {
		return nil, tun.ErrUnreachable
	}
	return h.Exit.Stream(ctx, src, dst)
}

// Datagrams implements tun.Handler.
func (h *Handler) Datagrams(ctx context.Context, src, dst netip.AddrPort) (tun.Datagrams, error) {
	name, what := h.look(dst.Addr())
	switch what {
	case self:
		if h.DNS == nil {
			return nil, syscall.ECONNREFUSED
		}
		return newDNSDatagrams(h.DNS), nil
	case service:
		release := h.Names.Hold(dst.Addr())
		d, err := h.Services.Datagrams(ctx, h.client(src), name.String(), dst.Port())
		if err != nil {
			release()
			return nil, classify(err)
		}
		return &heldDatagrams{d, release}, nil
	case nobody:
		return nil, errNobody(dst.Addr())
	}
	if h.Exit == nil {
		return nil, tun.ErrUnreachable
	}
	return h.Exit.Datagrams(ctx, src, dst)
}

// Ping implements tun.Handler: a service is asked, by a round trip to an instance.
func (h *Handler) Ping(ctx context.Context, dst netip.Addr) error {
	name, what := h.look(dst)
	switch what {
	case self:
		return nil
	case service:
		return h.Services.Ping(ctx, name.String())
	case nobody:
		return errNobody(dst)
	}
	if h.Exit == nil {
		return tun.ErrUnreachable
	}
	return h.Exit.Ping(ctx, dst)
}

// classify lets a service that is silent seem to be a host that is not there. One that
// refuses, or that nobody offers, is a host without such a port.
func classify(err error) error {
	if outbound.IsTimeout(err) {
		return fmt.Errorf("%w: %w", tun.ErrUnreachable, err)
	}
	return err
}

// stream is what connections to services can do.
type stream interface {
	net.Conn
	io.WriterTo
	io.ReaderFrom
	CloseWrite() error
	Abort() error
}

// hold returns conn, which calls release when it is closed.
func hold(conn net.Conn, release func()) net.Conn {
	if s, ok := conn.(stream); ok {
		return &heldStream{s, release}
	}
	return &heldConn{conn, release}
}

// heldStream is a stream to a virtual address, which is held while it is open.
type heldStream struct {
	stream
	release func()
}

// Close implements net.Conn.
func (s *heldStream) Close() error {
	s.release()
	return s.stream.Close()
}

// Abort resets the connection.
func (s *heldStream) Abort() error {
	s.release()
	return s.stream.Abort()
}

// heldConn is a heldStream that can do less.
type heldConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *heldConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// heldDatagrams is datagrams to a virtual address, which is held while they go on.
type heldDatagrams struct {
	outbound.Datagrams
	release func()
}

// Close implements tun.Datagrams.
func (d *heldDatagrams) Close() error {
	d.release()
	return d.Datagrams.Close()
}
