package expose

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/splice"
)

// quiet is how long nothing came or went on a connection that may be ended without
// cutting an answer short.
const quiet = 200 * time.Millisecond

func isQuiet(conn net.Conn) bool {
	c, ok := conn.(*serval.Conn)
	return !ok || c.Stats().SinceLastPacket > quiet
}

// progress counts what came and went on a connection.
func progress(conn net.Conn) uint64 {
	c, ok := conn.(*serval.Conn)
	if !ok || c.Datagrams() { // which know by themselves
		return uint64(time.Now().UnixNano())
	}
	stats := c.Stats()
	return stats.StreamReceived + stats.StreamAcked
}

// handle serves one connection.
func (s *Server) handle(ctx context.Context, conn net.Conn) error {
	err := s.serve(ctx, conn)
	if err != nil && ctx.Err() == nil && !splice.IsReset(err) {
		s.failed.Add(1)
		s.noteFailure(err)
	}
	return err
}

func (s *Server) serve(ctx context.Context, conn net.Conn) error {
	p := s.current.Load()
	caller := callerOf(p.Name, conn)
	s.Log.Debug("accepted", "from", caller.Text, "name", caller.Name, "port", caller.Port)
	leave, ok := s.clients.enter(caller.Node, p.MaxPerClient)
	if !ok {
		splice.Abort(conn)
		return fmt.Errorf("node %s has %d connections already, which is as many as one may", caller.Node.Short(), p.MaxPerClient)
	}
	defer leave()
	if p.OnDemand {
		defer s.demand.enter()()
	}
	if d, ok := conn.(interface{ Datagrams() bool }); ok && d.Datagrams() {
		return s.datagrams(ctx, p, caller, conn.(Session))
	}
	if p.To == "" {
		return s.command(ctx, p, caller, conn)
	}
	return splice.Connect(ctx, conn, func(ctx context.Context) (net.Conn, error) { return s.dial(ctx, p, caller) })
}

// dial connects to the server for a caller, and tells it who that is.
func (s *Server) dial(ctx context.Context, p *plan, caller Caller) (out net.Conn, err error) {
	if p.target.AnyPort() {
		if caller.Port == 0 {
			return nil, errors.New("the client says no port, and none is configured: give the server's address one, or dial with a port")
		}
		if !p.ports.Allow(caller.Port) {
			return nil, fmt.Errorf("the client asked for port %d, which is not among those that it may", caller.Port)
		}
	}
	network, address := p.target.network(caller.Port)
	try := func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, p.DialTimeout)
		defer cancel()
		out, err = dialer.DialContext(ctx, network, address)
		return err
	}
	if p.OnDemand {
		err = s.demand.reach(ctx, p, try)
	} else {
		err = try(ctx)
	}
	if err != nil || p.Proxy == "" {
		return out, err
	}
	h, err := caller.Header(false, p.ProxyAddress == AddressVirtual, p.target.Port)
	if err == nil {
		out.SetWriteDeadline(time.Now().Add(p.DialTimeout))
		_, err = out.Write(h)
		out.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// command runs the command on the connection.
func (s *Server) command(ctx context.Context, p *plan, caller Caller, conn net.Conn) error {
	return splice.Command(ctx, conn, &exec.Cmd{
		Path: p.path, Args: p.Command, Dir: p.Dir, Stderr: s.Output,
		Env: append(append(os.Environ(), caller.Environ()...), p.Env...),
	})
}
