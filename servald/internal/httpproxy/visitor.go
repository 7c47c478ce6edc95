package httpproxy

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

type visitorKey struct{}

// visitor is a client's connection. What it opens for plain requests is its own, so that
// clients share neither an instance nor, if a server is confused about where a request
// ends, their answers.
type visitor struct {
	net.Conn
	client outbound.Client
	leave  func()
	once   sync.Once
	cut    *atomic.Bool

	transport http.Transport
}

// CloseWrite lets tunnels of upgraded requests half-close.
func (v *visitor) CloseWrite() error {
	if h, ok := v.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return v.Close()
}

// Close implements net.Conn.
func (v *visitor) Close() error {
	var err error
	if v.cut.Load() {
		splice.Abort(v.Conn)
	} else {
		err = v.Conn.Close()
	}
	v.once.Do(func() {
		v.transport.CloseIdleConnections()
		v.leave()
	})
	return err
}

// listener lets in whom the door does.
type listener struct {
	net.Listener
	s *Server
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c, leave, err := l.s.door.Enter(conn)
		if err != nil {
			l.s.failures.Log(l.s.Log, conn.RemoteAddr(), err)
			splice.Abort(conn)
			continue
		}
		return l.s.visit(conn, c, leave), nil
	}
}

func (s *Server) visit(conn net.Conn, c outbound.Client, leave func()) *visitor {
	s.wg.Add(1)
	v := &visitor{Conn: conn, client: c, leave: func() { leave(); s.wg.Done() }, cut: &s.cut}
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	v.transport = http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			host, port, err := splitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return s.Destinations.Stream(ctx, clientOf(ctx, v.client), host, port)
		},
		Protocols: h1, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns: 8, MaxIdleConnsPerHost: 1, IdleConnTimeout: s.Idle, ExpectContinueTimeout: time.Second,
	}
	return v
}

type clientKey struct{}

// clientOf returns the client that a request is for, as it has proved to be.
func clientOf(ctx context.Context, otherwise outbound.Client) outbound.Client {
	if c, ok := ctx.Value(clientKey{}).(outbound.Client); ok {
		return c
	}
	return otherwise
}

// splitHostPort splits host:port, where both must be there.
func splitHostPort(addr string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || host == "" || n == 0 {
		return "", 0, &net.AddrError{Err: "write host:port, with a port from 1 to 65535", Addr: addr}
	}
	return host, uint16(n), nil
}
