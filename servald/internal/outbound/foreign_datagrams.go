package outbound

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// foreignDatagrams are to and from all ports of one host: answers may come from another
// port than was asked (RFC 4787, address-dependent filtering).
type foreignDatagrams struct {
	*net.UDPConn
	host netip.Addr
}

// newForeignDatagrams takes the host that a connection has found.
func newForeignDatagrams(found net.Conn) (Datagrams, error) {
	to, ok := found.RemoteAddr().(*net.UDPAddr)
	found.Close()
	if !ok {
		return nil, errors.ErrUnsupported
	}
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	return &foreignDatagrams{conn, to.AddrPort().Addr().Unmap()}, nil
}

// WriteTo implements Datagrams.
func (d *foreignDatagrams) WriteTo(b []byte, port uint16) (int, error) {
	return d.WriteToUDPAddrPort(b, netip.AddrPortFrom(d.host, port))
}

// ReadFrom implements Datagrams.
func (d *foreignDatagrams) ReadFrom(b []byte) (int, uint16, error) {
	for {
		n, from, err := d.ReadFromUDPAddrPort(b)
		if err != nil {
			return 0, 0, err
		}
		if from.Addr().Unmap() == d.host {
			return n, from.Port(), nil
		}
	}
}

// SetReadDeadline implements Datagrams.
func (d *foreignDatagrams) SetReadDeadline(t time.Time) error { return d.UDPConn.SetReadDeadline(t) }
