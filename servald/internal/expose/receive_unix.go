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

// maxBatch is how many datagrams are received before it is looked whether the socket
// was closed.
const maxBatch = 64

// receive waits for datagrams and calls f with each of those that have come, without a
// buffer while it waits. b is f's until it returns.
func receive(socket *net.UDPConn, f func(b []byte, from netip.AddrPort)) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		buf := datagramBuffers.Get().(*[64 << 10]byte)
		defer datagramBuffers.Put(buf)
		for range maxBatch {
			n, from, err := unix.Recvfrom(int(fd), buf[:], 0)
			switch a := from.(type) {
			case *unix.SockaddrInet4:
				f(buf[:n], netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)))
			case *unix.SockaddrInet6:
				f(buf[:n], netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)))
			}
			if errors.Is(err, unix.EAGAIN) {
				return false
			}
			// Other errors are of a datagram that was sent: an ICMP error, say.
		}
		return true
	})
}
