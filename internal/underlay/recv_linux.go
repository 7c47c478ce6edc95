package underlay

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readMessages is how many messages are read at once without UDP_GRO, and with it
// while datagrams come that the kernel cannot merge because they have different
// senders.
const readMessages = 32

// readStride is how far apart the messages' buffers start. It is no multiple of a
// power of two, so that their beginnings, which are all there is of most, do not
// compete for the same lines of the caches.
const readStride = readSize + 17*64

// unmerged is how many short datagrams must have come one by one without a pause
// before several are read at once.
const unmerged = 8

// short is what a datagram that was not merged has at most.
const short = 2048

// fairness is how many reads may follow each other before the goroutines that
// their handlers woke get a turn on this processor.
const fairness = 8

// reader takes datagrams off one socket.
type reader struct {
	s     *socket
	h     Handler
	batch Batch
	buf   []byte // readStride for each message
	msg   []mmsghdr
	iov   []unix.Iovec
	addr  []sockaddr
	oob   []control
	err   errorQueue

	alone int // short datagrams that came one after the other and were not merged

	spin   spin
	empty  time.Duration // when the socket was last found empty
	parked bool          // since then
}

func newReader(s *socket, h Handler) *reader {
	r := &reader{s: s, h: h, batch: Batch{Socket: s}}
	if s.gro {
		r.prepare(1)
	} else {
		r.prepare(readMessages)
	}
	r.err.init()
	return r
}

// prepare makes room for n messages.
func (r *reader) prepare(n int) {
	r.buf = make([]byte, n*readStride)
	r.msg = make([]mmsghdr, n)
	r.iov = make([]unix.Iovec, n)
	r.addr = make([]sockaddr, n)
	r.oob = make([]control, n)
	for i := range r.msg {
		r.iov[i].Base = &r.buf[i*readStride]
		r.iov[i].SetLen(readSize)
		r.msg[i].hdr.Name = (*byte)(unsafe.Pointer(&r.addr[i]))
		r.msg[i].hdr.Iov = &r.iov[i]
		r.msg[i].hdr.SetIovlen(1)
	}
}

// run reads until the socket is closed.
func (r *reader) run() {
	for r.s.raw.Read(r.drain) != nil && !r.s.closing.Load() {
		// The runtime refuses to wait after an event that was nothing but an
		// error, as when there is no room to send either, until the next one.
		r.s.raw.Control(func(fd uintptr) { r.drain(fd) })
		time.Sleep(time.Millisecond)
	}
}

// drain reads and handles datagrams until there are none, and returns false
// to have the runtime wait for more and call it again.
func (r *reader) drain(fd uintptr) bool {
	failed := 0
	for turn := 1; !r.s.closing.Load(); turn++ {
		n, errno := r.read(fd)
		if n == 0 && errno == unix.EAGAIN && !r.parked {
			n, errno = r.poll(fd)
		}
		switch {
		case errno == 0:
			if r.parked {
				r.parked = false
				now := clock()
				r.spin.woke(now, now-r.empty)
			}
			failed = 0
			r.handle(n)
		case errno == unix.EAGAIN && r.suspect() && r.readErrors(fd) > 0:
		case errno == unix.EAGAIN || failed >= 8:
			r.parked = true
			return false
		default:
			// Some datagram met an error; none was read. If there are more
			// errors the next read tells so again, but not the one after it:
			// datagrams get their turn however many errors come.
			if failed%2 == 0 {
				r.readErrors(fd)
			} else {
				r.s.pending.Store(true)
			}
			failed++
		}
		if turn%fairness == 0 {
			runtime.Gosched()
		}
	}
	return true
}

// spinning is held by the one reader of this process that polls.
var spinning atomic.Bool

// poll tries an empty socket again for as long as that is promising.
func (r *reader) poll(fd uintptr) (int, unix.Errno) {
	r.empty = clock()
	if r.s.udp.NoSpin {
		return 0, unix.EAGAIN
	}
	budget := r.spin.budget()
	if budget == 0 || !spinning.CompareAndSwap(false, true) {
		return 0, unix.EAGAIN
	}
	defer spinning.Store(false)
	for {
		runtime.Gosched()
		n, errno := r.read(fd)
		waited := clock() - r.empty
		if errno != unix.EAGAIN {
			r.spin.hit(r.empty+waited, waited)
			return n, errno
		}
		if waited > budget || r.s.closing.Load() {
			r.spin.miss(r.empty + waited)
			return 0, unix.EAGAIN
		}
	}
}

// read fills messages and returns how many.
func (r *reader) read(fd uintptr) (int, unix.Errno) {
	most := len(r.msg)
	if r.s.gro {
		if r.alone < unmerged {
			most = 1
		} else if most == 1 {
			r.prepare(readMessages)
			most = readMessages
		}
	}
	for i := range r.msg[:most] {
		h := &r.msg[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		if r.s.gro {
			h.Control = (*byte)(unsafe.Pointer(&r.oob[i]))
			h.SetControllen(unix.CmsgSpace(4))
		}
	}
	if most > 1 {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msg[0])),
			uintptr(most), unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			n = 0
			r.alone /= 2
		}
		return int(n), errno
	}
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&r.msg[0].hdr)), unix.MSG_DONTWAIT)
	if errno != 0 {
		r.alone /= 2
		return 0, errno
	}
	r.msg[0].len = uint32(n)
	return 1, 0
}

// handle passes the first n messages up.
func (r *reader) handle(n int) {
	b := &r.batch
	last := n - 1
	for last >= 0 && r.msg[last].len == 0 {
		last--
	}
	for i := range last + 1 {
		size := int(r.msg[i].len)
		if size == 0 {
			continue
		}
		b.Data = r.buf[i*readStride:][:size:size]
		b.Seg = size
		if seg := r.segment(i); seg > 0 && seg < size {
			b.Seg = seg
		}
		b.From = r.addr[i].addrPort()
		b.More = i < last
		if b.Seg == size && size <= short {
			r.alone = min(r.alone+1, 2*unmerged)
		} else {
			r.alone = 0
		}
		r.h(b)
	}
}

// segment is the size of the datagrams that the kernel merged, 0 if it did not.
func (r *reader) segment(i int) int {
	c := &r.oob[i]
	if !r.s.gro || r.msg[i].hdr.Controllen < unix.SizeofCmsghdr+4 ||
		c.hdr.Level != unix.SOL_UDP || c.hdr.Type != unix.UDP_GRO {
		return 0
	}
	return int(binary.NativeEndian.Uint32(c.data[:]))
}
