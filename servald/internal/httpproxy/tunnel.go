package httpproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

// tunnel answers CONNECT (RFC 9110, section 9.3.6).
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request, v *visitor, c outbound.Client) {
	host, port, err := splitHostPort(r.Host)
	if err != nil {
		s.fail(w, http.StatusBadRequest, "http_request_error", err.Error())
		return
	}
	out, err := s.Destinations.Stream(r.Context(), c, host, port)
	if err != nil {
		s.failDial(w, err)
		return
	}
	_, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		out.Close()
		s.fail(w, http.StatusHTTPVersionNotSupported, "http_protocol_error", "tunnels need HTTP/1.1")
		return
	}
	v.SetDeadline(time.Now().Add(s.Handshake))
	if err := begin(v.Conn, buffered.Reader, out); err != nil {
		splice.Abort(out)
		v.Close()
		return
	}
	v.SetDeadline(time.Time{})
	// What HTTP needed for the connection is let go of meanwhile.
	to := r.Host
	s.wg.Go(func() {
		defer v.Close()
		if _, _, err := splice.Join(s.conns, v.Conn, out); err != nil && s.conns.Err() == nil {
			s.failures.Log(s.Log, v.RemoteAddr(), fmt.Errorf("%s: %w", to, err))
		}
	})
}

// begin tells the client that the tunnel stands, and passes on what it has sent already.
func begin(conn net.Conn, buffered *bufio.Reader, out net.Conn) error {
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return err
	}
	_, err := io.CopyN(out, buffered, int64(buffered.Buffered()))
	return err
}
