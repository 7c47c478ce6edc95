package underlay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSegments is the kernel's UDP_MAX_SEGMENTS (128 since Linux 6.9).
const maxSegments = 64

// sender is the scratch memory of one Send at a time.
type sender struct {
	s     *socket
	call  func(fd uintptr) // trySend, bound once
	errno unix.Errno

	// The descriptor to send by, as found at a time.
	by   syscall.RawConn
	dst  netip.Addr
	seen uint32

	// What to send: the datagrams of buf.
	buf  []byte
	seg  int
	addr sockaddr
	oob  control
	iov  [maxSegments]unix.Iovec
	msg  [maxSegments]mmsghdr
}

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// control is one control message.
type control struct {
	hdr  unix.Cmsghdr
	data [8]byte
}

func newSender(s *socket) *sender {
	w := &sender{s: s}
	w.call = w.trySend
	w.oob.hdr.Level, w.oob.hdr.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	w.oob.hdr.SetLen(unix.CmsgLen(2))
	return w
}

// send sends buf in as few calls as the kernel's limits allow.
func (w *sender) send(buf []byte, seg int, to netip.AddrPort) error {
	if !w.addr.set(to, w.s.local.Addr().Is4()) {
		return sendError(to, unix.EAFNOSUPPORT)
	}
	w.choose(to.Addr().Unmap())
	most := min(MaxPayload/seg, maxSegments) * seg
	for len(buf) > 0 {
		w.buf, w.seg = buf[:min(most, len(buf))], seg
		buf = buf[len(w.buf):]
		w.errno = 0
		err := w.by.Control(w.call)
		left := len(w.buf)
		w.buf, w.iov[0].Base = nil, nil
		switch {
		case err != nil && w.by != w.s.raw && !w.s.closing.Load():
			w.seen = 0 // the descriptor was replaced
			return sendError(to, err)
		case err != nil:
			return net.ErrClosed
		case w.errno == 0:
		case w.errno == unix.EMSGSIZE:
			return ErrTooBig
		case w.errno == unix.EAGAIN || w.errno == unix.ENOBUFS:
			w.s.udp.dropped.Add(uint64((left + len(buf) + seg - 1) / seg))
			return nil
		default:
			return sendError(to, w.errno)
		}
	}
	return nil
}

// choose finds the descriptor to reach dst with, mostly that of the last time.
func (w *sender) choose(dst netip.Addr) {
	if seen := w.s.egress.seen.Load(); seen != w.seen || dst != w.dst {
		w.by, w.dst, w.seen = w.s.by(dst), dst, seen
	}
}

// trySend sends w.buf, leaving in it what was not sent.
func (w *sender) trySend(fd uintptr) {
	segment := len(w.buf) > w.seg && w.s.gso.Load()
	if len(w.buf) > w.seg && !segment {
		w.errno = w.sendEach(fd)
		return
	}
	w.errno = w.sendOnce(fd, segment)
	switch w.errno {
	case unix.EIO, unix.EINVAL, unix.EMSGSIZE:
		if !segment {
			return
		}
		// Either the segments are too big, or this device cannot split them.
		if w.errno = w.sendEach(fd); w.errno == 0 {
			w.s.gso.Store(false)
		}
	}
}

// sendOnce gives w.buf to the kernel as one message.
func (w *sender) sendOnce(fd uintptr, segment bool) unix.Errno {
	h := &w.msg[0].hdr
	w.point(0, w.buf)
	if segment {
		binary.NativeEndian.PutUint16(w.oob.data[:], uint16(w.seg))
		h.Control = (*byte)(unsafe.Pointer(&w.oob))
		h.SetControllen(unix.CmsgSpace(2))
	}
	for repeated := 0; ; repeated++ {
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(h)), unix.MSG_DONTWAIT)
		if !w.again(errno, repeated) {
			h.Control = nil
			h.SetControllen(0)
			return errno
		}
	}
}

// sendEach gives w.buf to the kernel as one message for each datagram.
func (w *sender) sendEach(fd uintptr) unix.Errno {
	n := 0
	for buf := w.buf; len(buf) > 0; n++ {
		m := min(w.seg, len(buf))
		w.point(n, buf[:m])
		buf = buf[m:]
	}
	defer clear(w.iov[:n])
	for sent, repeated := 0, 0; sent < n; {
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.msg[sent])),
			uintptr(n-sent), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.ENOBUFS: // the device's queue dropped this one only
			w.s.udp.dropped.Add(1)
			r = 1
		case w.again(errno, repeated):
			repeated++
			continue
		case errno != 0:
			return errno
		case int(r) < n-sent: // perhaps for an earlier datagram's error
			w.s.pending.Store(true)
		}
		sent += int(r)
		w.buf = w.buf[min(int(r)*w.seg, len(w.buf)):]
		repeated = 0
	}
	return 0
}

// point makes message i carry buf.
func (w *sender) point(i int, buf []byte) {
	w.iov[i].Base = &buf[0]
	w.iov[i].SetLen(len(buf))
	h := &w.msg[i].hdr
	h.Name = (*byte)(unsafe.Pointer(&w.addr))
	h.Namelen = w.addr.len()
	h.Iov = &w.iov[i]
	h.SetIovlen(1)
}

// retries is how often a failed call is repeated that may have told of earlier
// datagrams; there can be several such errors, but each is told once.
const retries = 4

// again reports whether to repeat a call that has been repeated so often.
func (w *sender) again(errno unix.Errno, repeated int) bool {
	switch errno {
	case unix.EINTR:
		return true
	case 0, unix.EAGAIN, unix.ENOBUFS, unix.EIO, unix.EINVAL:
		return false
	}
	// The call sent nothing and took the error from the reader. What the
	// repeated one sends wakes the reader, which then must find this set.
	w.s.pending.Store(true)
	return errno == unix.ECONNREFUSED || repeated < retries // never of this datagram
}
