// Package httpproxy is an HTTP proxy whose destinations are services: CONNECT for
// everything that wants a tunnel (TLS, HTTP/2, WebSockets, ssh), plain requests for
// absolute URIs, and a PAC file that tells browsers to use it for services only.
package httpproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

// DefaultIdle is how long a connection is kept between requests.
const DefaultIdle = 2 * time.Minute

// maxHeader is the most bytes of the head of a request or response.
const maxHeader = 256 << 10

// Server is an HTTP proxy. Set the fields before Serve, which is called once.
type Server struct {
	// Its Handshake is how long a client may take for the head of a request.
	door.ProxySettings

	// Idle is how long a connection is kept between requests; 0 is 2 minutes.
	Idle time.Duration

	door   door.Door
	conns  context.Context // of connections
	wg     sync.WaitGroup  // of connections and requests
	cut    atomic.Bool     // what is closed from now on is reset
	opened atomic.Bool     // the door is as it should be

	failures splice.Failures
}

// Serve serves ln until ctx is done, then closes it, gives requests and tunnels the
// time of Drain, ends them, and returns nil. It returns the error when ln fails for
// another reason, and refuses to be an open proxy. When it returns, nothing that it
// started runs any more.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if err := s.init(ln); err != nil {
		return err
	}
	// What is cut short is reset, so that nobody takes it for whole.
	conns, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	s.conns = conns
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	srv := &http.Server{
		Handler: http.HandlerFunc(s.serve), Protocols: h1, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: s.Handshake, IdleTimeout: s.Idle,
		BaseContext: func(net.Listener) context.Context { return conns },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, visitorKey{}, conn.(*visitor))
		},
		ErrorLog: log.New(io.Discard, "", 0), // clients' mistakes, which they are told of
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener{ln, s}) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		stop, cancel := context.WithTimeout(conns, s.Drain)
		if s.End != nil {
			cancel()
			stop, cancel = context.WithCancel(conns)
			defer context.AfterFunc(s.End, cancel)()
		}
		srv.Shutdown(stop)
		<-served // nobody comes in any more
		s.await(stop)
		cancel()
	}
	s.cut.Store(true)
	end(splice.ErrCut)
	srv.Close()
	s.wg.Wait()
	return err
}

// await waits until all is done, or ctx is.
func (s *Server) await(ctx context.Context) {
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (s *Server) init(ln net.Listener) error {
	if err := s.Prepare(ln); err != nil {
		return err
	}
	if s.Idle <= 0 {
		s.Idle = DefaultIdle
	}
	s.Log = s.Log.With("via", "http")
	s.door.Via, s.door.Settings = "http", s.Settings
	s.opened.Store(true)
	return nil
}

// Active returns how many connections are open.
func (s *Server) Active() int {
	if !s.opened.Load() {
		return 0
	}
	return s.door.Inside()
}

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.wg.Add(1) // the connection has one, so it is not 0
	defer s.wg.Done()
	v := r.Context().Value(visitorKey{}).(*visitor)
	if r.Method != http.MethodConnect && r.URL.Host == "" {
		s.local(w, r)
		return
	}
	c, ok := s.authenticate(v, r)
	if !ok {
		w.Header().Set("Proxy-Authenticate", `Basic realm="servald", charset="UTF-8"`)
		s.fail(w, http.StatusProxyAuthRequired, "proxy_authentication_required", "this proxy asks for a name and a password")
		return
	}
	if r.Method == http.MethodConnect {
		s.tunnel(w, r, v, c)
		return
	}
	s.request(w, r, v, c)
}

// authenticate checks the client's name and password, if it needs any.
func (s *Server) authenticate(v *visitor, r *http.Request) (outbound.Client, bool) {
	c := v.client
	if len(s.Users) == 0 {
		return c, true
	}
	user, password, tried := proxyAuth(r)
	if !tried {
		return c, false
	}
	c, ok := s.Users.Login(c, user, password)
	if !ok {
		s.failures.Log(s.Log, v.RemoteAddr(), fmt.Errorf("wrong name or password: %q", user))
	}
	return c, ok
}

// proxyAuth returns the name and the password in Proxy-Authorization.
func proxyAuth(r *http.Request) (user, password string, ok bool) {
	as := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	return as.BasicAuth()
}

// fail answers that a request was not served. The kind is an error type of RFC 9209.
func (s *Server) fail(w http.ResponseWriter, code int, kind, text string) {
	w.Header().Set("Proxy-Status", "servald; error="+kind)
	http.Error(w, "servald: "+text, code)
}

// failDial answers that a destination could not be reached. Outbound has logged it.
func (s *Server) failDial(w http.ResponseWriter, err error) {
	code, kind := status(err)
	s.fail(w, code, kind, err.Error())
}

// status says which status and error type of RFC 9209 tell of an error.
func status(err error) (code int, kind string) {
	switch {
	case outbound.IsForeign(err):
		return http.StatusForbidden, "destination_ip_prohibited"
	case outbound.IsDenied(err):
		return http.StatusForbidden, "http_request_denied"
	case outbound.IsBusy(err):
		return http.StatusServiceUnavailable, "connection_limit_reached"
	case outbound.IsNoService(err):
		return http.StatusBadGateway, "destination_not_found"
	case outbound.IsRefused(err):
		return http.StatusBadGateway, "connection_refused"
	case outbound.IsTimeout(err):
		return http.StatusGatewayTimeout, "connection_timeout"
	case outbound.IsUnreachable(err):
		return http.StatusBadGateway, "destination_ip_unroutable"
	case errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "proxy_internal_response"
	}
	return http.StatusBadGateway, "connection_terminated"
}
