//go:build unix

package expose

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// datagramBuffers are for what the kernel may hand over at once.
var datagramBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// receive waits for a datagram and calls f with it, without a buffer of its own while
// it waits. b is f's until it returns.
func receive(socket *net.UDPConn, f func(b []byte, from netip.AddrPort)) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var buf *[64 << 10]byte
	var n int
	var from unix.Sockaddr
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		buf = datagramBuffers.Get().(*[64 << 10]byte)
		for {
			n, from, failure = unix.Recvfrom(int(fd), buf[:], 0)
			if !errors.Is(failure, unix.EINTR) {
				break
			}
		}
		if errors.Is(failure, unix.EAGAIN) {
			datagramBuffers.Put(buf)
			buf = nil
			return false
		}
		return true
	})
	if err != nil {
		return err
	}
	defer datagramBuffers.Put(buf)
	if failure != nil {
		return nil // of another datagram, that was sent: an ICMP error, say
	}
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		f(buf[:n], netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)))
	case *unix.SockaddrInet6:
		f(buf[:n], netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)))
	}
	return nil
}
