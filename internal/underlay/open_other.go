//go:build !linux

package underlay

import (
	"net"
)

func (u *UDP) openSocket(c *net.UDPConn, h Handler) (Socket, error) {
	c.SetReadBuffer(socketBuffer)
	c.SetWriteBuffer(socketBuffer)
	return newPlain(u, c, h), nil
}
