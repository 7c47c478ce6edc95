package underlay

import (
	"net"

	"golang.org/x/sys/unix"
)

func (u *UDP) openSocket(c *net.UDPConn, h Handler) (Socket, error) {
	if u.disable&batching != 0 {
		return newPlain(u, c, h), nil
	}
	return openSocket(u, c, h)
}

// setOptions does what it can: without these options a socket is slower, or
// finds the path MTU by loss instead of by an error.
func setOptions(fd uintptr, is4 bool) {
	s := int(fd)
	for _, opt := range [][2]int{
		{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF},
	} {
		// The forcing one passes the system's limit but is for root only.
		if unix.SetsockoptInt(s, unix.SOL_SOCKET, opt[0], socketBuffer) != nil {
			unix.SetsockoptInt(s, unix.SOL_SOCKET, opt[1], socketBuffer)
		}
	}
	// PROBE sets don't-fragment but ignores the path MTU learned from ICMP,
	// which anybody can forge: path MTU discovery is done above, end to end.
	if is4 {
		unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	} else {
		unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	}
}
