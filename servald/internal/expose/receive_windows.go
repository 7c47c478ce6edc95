package expose

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// datagramBuffers are for what the kernel may hand over at once.
var datagramBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// receive waits for a datagram and calls f with it. b is f's until it returns.
func receive(socket *net.UDPConn, f func(b []byte, from netip.AddrPort)) error {
	buf := datagramBuffers.Get().(*[64 << 10]byte)
	defer datagramBuffers.Put(buf)
	n, from, err := socket.ReadFromUDPAddrPort(buf[:])
	if err == nil {
		f(buf[:n], from)
	} else if !errors.Is(err, net.ErrClosed) {
		return nil // of another datagram, that was sent: an ICMP error, say
	}
	return err
}
