package underlay

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxQuote  = 512 // bytes kept of a datagram that an ICMP error quotes
	maxErrors = 16  // errors read between reads of datagrams
)

// The ICMP types and codes of interest, RFC 792 and RFC 4443.
const (
	icmpUnreachable   = 3
	icmpPort          = 3 // code
	icmpTooBig        = 4 // code
	icmp6Unreachable  = 1
	icmp6Port         = 4 // code
	icmp6PacketTooBig = 2
)

// errorQueue is where the kernel's error queue is read to.
type errorQueue struct {
	hdr   unix.Msghdr
	iov   unix.Iovec
	to    sockaddr
	quote [maxQuote]byte
	oob   struct {
		hdr     unix.Cmsghdr
		err     unix.SockExtendedErr
		sender  unix.RawSockaddrInet6 // of the ICMP message
		padding [4]byte
	}
}

func (q *errorQueue) init() {
	q.iov.Base = &q.quote[0]
	q.iov.SetLen(maxQuote)
	q.hdr.Name = (*byte)(unsafe.Pointer(&q.to))
	q.hdr.Iov = &q.iov
	q.hdr.SetIovlen(1)
	q.hdr.Control = (*byte)(unsafe.Pointer(&q.oob))
}

// OnUnreachable implements ErrorReporter.
func (s *socket) OnUnreachable(f func(u Unreachable)) {
	level, opt, on := unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1
	if s.local.Addr().Is4() {
		level, opt = unix.IPPROTO_IP, unix.IP_RECVERR
	}
	if f == nil {
		s.report.Store(nil)
		on = 0
	} else {
		s.report.Store(&f)
	}
	s.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), level, opt, on) })
}

// suspect reports whether a socket without datagrams may have errors: nothing
// else woke the reader, or a sender was told of one.
func (r *reader) suspect() bool {
	return r.s.pending.Load() && r.s.pending.Swap(false) || r.parked
}

// readErrors reports what is in the error queue, up to maxErrors, and returns
// how much that was.
func (r *reader) readErrors(fd uintptr) int {
	q := &r.err
	for i := range maxErrors {
		q.hdr.Namelen = unix.SizeofSockaddrInet6
		q.hdr.SetControllen(int(unsafe.Sizeof(q.oob)))
		n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&q.hdr)),
			unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if errno != 0 {
			return i
		}
		f := r.s.report.Load()
		if u, ok := q.unreachable(int(n)); ok && f != nil {
			(*f)(u)
		}
	}
	return maxErrors
}

// unreachable interprets the error just read, which quotes n bytes.
func (q *errorQueue) unreachable(n int) (u Unreachable, ok bool) {
	c := &q.oob
	if q.hdr.Namelen == 0 || uint64(q.hdr.Controllen) < uint64(unsafe.Offsetof(c.sender)) {
		return u, false
	}
	tooBig := false
	switch e := &c.err; e.Origin {
	case unix.SO_EE_ORIGIN_ICMP:
		tooBig = e.Type == icmpUnreachable && e.Code == icmpTooBig
		u.Port = e.Type == icmpUnreachable && e.Code == icmpPort
		ok = e.Type == icmpUnreachable
	case unix.SO_EE_ORIGIN_ICMP6:
		tooBig = e.Type == icmp6PacketTooBig
		u.Port = e.Type == icmp6Unreachable && e.Code == icmp6Port
		ok = e.Type == icmp6Unreachable || tooBig
	}
	if !ok {
		return u, false // of this host's own making: Send has told
	}
	u.To = q.to.addrPort()
	u.Quoted = q.quote[:n:n]
	if tooBig {
		u.MTU = min(int(c.err.Info)-headers(u.To.Addr()), MaxPayload)
		return u, u.MTU > 0
	}
	return u, true
}
