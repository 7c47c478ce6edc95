package splice

import (
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/internal/netstack"
)

// socketSource is a socket of the kernel as a netstack.Source: what has come is read
// straight into the memory that the other side sends.
type socketSource struct {
	raw     syscall.RawConn
	network string

	// Of the call under way. look and take are methods as values: made once, they need
	// no memory for each call.
	look, take func(fd uintptr) bool
	b          []byte
	n          int
	err        error
}

var _ netstack.Source = (*socketSource)(nil)

func newSource(src net.Conn) (io.Reader, bool) {
	c, ok := src.(syscall.Conn)
	if !ok {
		return nil, false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, false
	}
	s := &socketSource{raw: raw, network: src.LocalAddr().Network()}
	s.look, s.take = s.lookNow, s.takeNow
	return s, true
}

// Buffered implements netstack.Source.
func (s *socketSource) Buffered() (int, error) {
	s.n, s.err = 0, nil
	return s.result(s.raw.Read(s.look))
}

// Read implements io.Reader.
func (s *socketSource) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.b, s.n, s.err = b, 0, nil
	defer func() { s.b = nil }()
	return s.result(s.raw.Read(s.take))
}

func (s *socketSource) result(err error) (int, error) {
	switch {
	case err != nil:
		return 0, err
	case s.err != nil:
		return 0, readError(s.network, s.err)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// lookNow returns false if nothing has come yet.
func (s *socketSource) lookNow(fd uintptr) bool {
	if s.n, s.err = unix.IoctlGetInt(int(fd), unix.SIOCINQ); s.err == nil && s.n > 0 {
		return true
	}
	// Nothing, the end, or an error: only reading tells. If something comes just now,
	// a byte is sent by itself.
	var b [1]byte
	s.n, _, s.err = retry(func() (int, unix.Sockaddr, error) {
		return unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return s.err != unix.EAGAIN
}

func (s *socketSource) takeNow(fd uintptr) bool {
	// A raw system call, since this one does not wait: otherwise the scheduler might think
	// so, and start a thread.
	for {
		n, _, err := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.b))), uintptr(len(s.b)))
		switch err {
		case unix.EINTR:
			continue
		case 0:
			s.n, s.err = int(n), nil
		default:
			s.n, s.err = 0, err
		}
		return err != unix.EAGAIN
	}
}

// retry repeats what a signal interrupted.
func retry(f func() (int, unix.Sockaddr, error)) (int, unix.Sockaddr, error) {
	for {
		if n, from, err := f(); err != unix.EINTR {
			return max(n, 0), from, err
		}
	}
}
