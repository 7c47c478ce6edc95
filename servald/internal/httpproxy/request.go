package httpproxy

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"

	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

// request passes a plain request on (RFC 9110, section 7.6).
func (s *Server) request(w http.ResponseWriter, r *http.Request, v *visitor, c outbound.Client) {
	if r.URL.Scheme != "http" {
		s.fail(w, http.StatusNotImplemented, "http_request_error", "this proxy takes http:// URIs, and CONNECT for all else")
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), clientKey{}, c))
	p := httputil.ReverseProxy{
		Transport: &v.transport, FlushInterval: -1, BufferPool: &bodies, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite:      rewrite,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { s.failDial(w, err) },
	}
	defer func() {
		if broken := recover(); broken != nil {
			// The answer broke off: some would take its end for that of the whole.
			splice.Abort(v.Conn)
			panic(broken)
		}
	}()
	p.ServeHTTP(w, r)
}

// rewrite makes the request that is sent on.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.User = nil
	r.Out.Host = r.In.URL.Host // which prevails over the header (RFC 9112, section 3.2.2)
	// ReverseProxy drops these, as what its clients might claim: ours may.
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
	// HTTP/2 begins with its own preface, or in a tunnel: not within our connection.
	if strings.Contains(strings.ToLower(r.Out.Header.Get("Upgrade")), "h2c") {
		r.Out.Header.Del("Upgrade")
		r.Out.Header.Del("Connection")
	}
	r.Out.Header.Del("Http2-Settings")
	r.Out.Header.Add("Via", "1.1 servald")
}

// bodies is buffers of 32 KiB to copy bodies with.
var bodies bufferPool

type bufferPool struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }
