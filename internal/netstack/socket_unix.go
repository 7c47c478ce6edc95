//go:build unix

package netstack

import (
	"io"
	"net"
	"os"
	"syscall"
)

// socketBudget is how many bytes are written to a socket at once, before the peer learns
// that they are read.
const socketBudget = 256 << 10

// passMost is how many bytes that come together the goroutine that received them writes.
// With more it would keep those of other connections waiting; another writes them.
const passMost = 16 << 10

// writeToSocket writes to a socket of the kernel until io.EOF, straight from the memory
// that was received into. ok is false if w is none.
func (c *Conn) writeToSocket(w io.Writer) (written int64, ok bool, err error) {
	s := socket{conn: c}
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
	write := s.write
	s.control = s.writeOnce
	c.e.readBy(&s)
	for {
		if _, err = c.Buffered(); err != nil {
			break
		}
		err = s.raw.Write(write)
		written += int64(s.written)
		if err == nil && s.failure != nil {
			err = &net.OpError{Op: "write", Net: w.(net.Conn).LocalAddr().Network(), Err: os.NewSyscallError("write", s.failure)}
		}
		if err != nil {
			break
		}
	}
	c.e.readBy(nil)
	if err == io.EOF {
		err = nil
	}
	return written + int64(s.passed), true, err
}

// socket is a socket of the kernel that reads a connection.
type socket struct {
	conn    *Conn
	raw     syscall.RawConn
	written int   // since write began
	failure error // of the kernel, but for EAGAIN

	// Of passThrough, with the endpoint's lock.
	passed  int
	broken  error // likewise, for write to report
	control func(fd uintptr)
	b       []byte
	n       int
}

// write reads from the connection into the socket, and returns false if the socket must
// become writable first.
func (s *socket) write(fd uintptr) bool {
	c := s.conn
	c.rd.op.Lock()
	defer c.rd.op.Unlock()
	s.written, s.failure = 0, s.trouble()
	full := false
	for s.failure == nil && !full && s.written < socketBudget && c.begin() {
		var n int
		n, s.failure = writeAll(int(fd), c.head.AsSlice())
		full = n < c.head.Size()
		c.drop(n)
		s.written += n
	}
	if s.written > 0 {
		c.e.consumed(s.written)
	}
	return s.written > 0 || s.failure != nil || !full
}

// trouble returns what passThrough failed with.
func (s *socket) trouble() error {
	s.conn.e.mu.Lock()
	defer s.conn.e.mu.Unlock()
	return s.broken
}

// passThrough implements passSink: the goroutine in write is not woken.
func (s *socket) passThrough(b []byte) int {
	if len(b) > passMost || s.broken != nil {
		return 0
	}
	s.b, s.n = b, 0
	s.raw.Control(s.control)
	s.b = nil
	s.passed += s.n
	return s.n
}

func (s *socket) writeOnce(fd uintptr) { s.n, s.broken = writeAll(int(fd), s.b) }

// writeAll writes what the kernel takes now; that it takes no more is no error.
func writeAll(fd int, b []byte) (int, error) {
	for {
		n, err := writeNow(fd, b)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, nil
		}
		return 0, err
	}
}
