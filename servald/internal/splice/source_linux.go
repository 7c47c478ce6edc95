package splice

import (
	"io"
	"net"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/internal/netstack"
)

// socketSource is a socket of the kernel as a netstack.Source: what has come is read
// straight into the memory that the other side sends. Little is read at once to see
// whether there is something, since that takes fewer system calls than to ask.
type socketSource struct {
	raw     syscall.RawConn
	network string
	much    bool // came the last time

	little *[littleSize]byte // holds early, from the pool
	early  []byte            // what Buffered has read
	more   int               // and has seen behind that

	// Of the call under way. look and take are methods as values: made once, they need
	// no memory for each call.
	look, take func(fd uintptr) bool
	b          []byte
	n          int
	err        error
}

const littleSize = 4 << 10

var littles = sync.Pool{New: func() any { return new([littleSize]byte) }}

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
	if len(s.early) == 0 {
		s.n, s.err, s.more = 0, nil, 0
		return s.result(s.raw.Read(s.look))
	}
	return len(s.early) + s.more, nil
}

// Read implements io.Reader.
func (s *socketSource) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(s.early) == 0 {
		return s.readSocket(b)
	}
	n := copy(b, s.early)
	if s.early = s.early[n:]; len(s.early) == 0 {
		littles.Put(s.little)
		s.little, s.early = nil, nil
	}
	if n == len(b) || s.more == 0 {
		return n, nil
	}
	more, _ := s.readSocket(b[n:]) // what fails now fails the next time too
	s.more -= more
	return n + more, nil
}

func (s *socketSource) readSocket(b []byte) (int, error) {
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
	if s.much {
		if s.n, s.err = unix.IoctlGetInt(int(fd), unix.SIOCINQ); s.err == nil && s.n > 0 {
			return true
		}
	}
	// Little has come, or nothing, the end, or an error: only reading tells.
	s.little = littles.Get().(*[littleSize]byte)
	var again bool
	s.n, again, s.err = readNow(fd, s.little[:])
	s.much = s.n == littleSize
	if s.n > 0 {
		s.early = s.little[:s.n]
		if s.much {
			s.more, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
			s.n += s.more
		}
		return true
	}
	littles.Put(s.little)
	s.little = nil
	return !again
}

func (s *socketSource) takeNow(fd uintptr) bool {
	var again bool
	s.n, again, s.err = readNow(fd, s.b)
	return !again
}

// readNow reads what has come; again is true if that is nothing.
func readNow(fd uintptr, b []byte) (n int, again bool, err error) {
	// A raw system call, since this one does not wait: otherwise the scheduler might think
	// so, and start a thread.
	for {
		n, _, err := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch err {
		case 0:
			return int(n), false, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}
