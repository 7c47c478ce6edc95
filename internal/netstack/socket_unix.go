//go:build unix

package netstack

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// socketBudget is how many bytes are written to a socket under TCP's lock at once.
const socketBudget = 256 << 10

// writeToSocket writes to a socket of the kernel until io.EOF, straight from the memory
// that was received into. ok is false if w is none.
func (c *Conn) writeToSocket(w io.Writer) (written int64, ok bool, err error) {
	var s socket
	switch w := w.(type) {
	case *net.TCPConn:
		s.raw, err = w.SyscallConn()
	case *net.UnixConn:
		s.raw, err = w.SyscallConn()
	default:
		return 0, false, nil
	}
	if err != nil {
		return 0, true, err
	}
	s.conn = c
	write := s.write
	for {
		if _, err := c.Buffered(); err == io.EOF {
			return written, true, nil
		} else if err != nil {
			return written, true, err
		}
		err := s.raw.Write(write)
		written += int64(s.written)
		if err == nil && s.failure != nil {
			err = &net.OpError{Op: "write", Net: w.(net.Conn).LocalAddr().Network(), Err: os.NewSyscallError("write", s.failure)}
		}
		if err != nil {
			return written, true, err
		}
	}
}

// socket is a writer that never waits: it takes what the kernel does, and fails then.
type socket struct {
	conn    *Conn
	raw     syscall.RawConn
	fd      int
	written int   // since write began
	failure error // of the kernel, but for EAGAIN
}

// errPause ends a Read of TCP whose bytes the socket does not take now.
var errPause = errors.New("not now")

// write reads from the connection into the socket, and returns false if the socket must
// become writable first.
func (s *socket) write(fd uintptr) bool {
	s.fd, s.written, s.failure = int(fd), 0, nil
	c := s.conn
	c.rd.op.Lock()
	defer c.rd.op.Unlock()
	res, err := c.tcp.Read(s, tcpip.ReadOptions{})
	if err == nil && res.Count > 0 {
		c.e.consumed(res.Count)
		return true
	}
	// Nothing was written, either because TCP has nothing, which Buffered will say, or
	// because the socket takes nothing.
	_, refused := err.(*tcpip.ErrBadBuffer)
	return !refused || s.failure != nil
}

// Write implements io.Writer.
func (s *socket) Write(b []byte) (int, error) {
	if s.written >= socketBudget {
		return 0, errPause
	}
	for {
		n, err := writeNow(s.fd, b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, errPause
		case err != nil:
			s.failure = err
			return 0, err
		}
		s.written += n
		if n < len(b) {
			return n, errPause
		}
		return n, nil
	}
}
