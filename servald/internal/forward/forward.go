// Package forward makes a service reachable at a local address, by TCP, a Unix socket
// or UDP.
package forward

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

// Server forwards to one service. Outbound and Service are required; set the fields
// before Serve or ServePacket, one of which is called once.
type Server struct {
	Outbound *outbound.Outbound

	// Service is whose instances clients are connected to, and Port what port they are
	// said to ask for. Of UDP 0 is the port that is listened on; else it is none.
	Service string
	Port    uint16

	// Timeout bounds a dial, where Outbound does not do so sooner; 0 leaves it to that.
	Timeout time.Duration

	// Of UDP, Max is how many clients there are at once; 0 is 4096.
	door.Settings

	// UDPIdle is how long a client of UDP is remembered; 0 is 2 minutes.
	UDPIdle time.Duration

	door door.Door
	udp  atomic.Pointer[packets] // of ServePacket
}

// Serve serves connections to ln until ctx is done; see door.Door.Serve. A client whose
// service cannot be reached finds its connection reset.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.door.Via, s.door.Handle, s.door.Settings = "forward", s.handle, s.Settings
	return s.door.Serve(ctx, ln)
}

// Active returns how many connections are open.
func (s *Server) Active() int { return s.door.Active() }

// Total returns how many connections there were.
func (s *Server) Total() int64 { return s.door.Total() }

func (s *Server) handle(ctx context.Context, c outbound.Client, conn net.Conn) error {
	out, err := s.dial(ctx, c)
	if err != nil {
		splice.Abort(conn)
		return nil // Outbound has logged it
	}
	_, _, err = splice.Join(ctx, conn, out)
	return err
}

func (s *Server) dial(ctx context.Context, c outbound.Client) (net.Conn, error) {
	ctx, cancel := s.dialling(ctx)
	defer cancel()
	return s.Outbound.Stream(ctx, c, s.Service, s.Port)
}

// dialling is the context of a dial.
func (s *Server) dialling(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.Timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.Timeout)
}
