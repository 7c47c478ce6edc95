package relay

import (
	"errors"
	"net"
	"net/netip"
)

// maxFailed is how many reads may fail in a row.
const maxFailed = 100

// Receive gives take each datagram that comes to conn, with its sender's address as IPv4
// if it has one, until reading fails for good: when conn is closed. b is take's own during
// the call.
func Receive(conn *net.UDPConn, take func(b []byte, from netip.AddrPort)) error {
	buf := make([]byte, maxDatagram)
	for failed := 0; ; {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			// Some systems tell here of an answer that nobody took.
			if failed++; failed > maxFailed || errors.Is(err, net.ErrClosed) {
				return err
			}
			continue
		}
		failed = 0
		take(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	}
}
