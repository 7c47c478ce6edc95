package emu

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// copier sends duplicates, as packets of the router's own, which iptables' FORWARD
// chain does not see.
type copier struct {
	v4, v6 int // raw sockets that take whole packets; v6 is -1 without IPv6
}

func newCopier() (*copier, error) {
	v4, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("emu: open a raw socket: %w", err)
	}
	v6, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		v6 = -1
	}
	return &copier{v4, v6}, nil
}

// send sends a whole IP packet.
func (c *copier) send(packet []byte) error {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		return unix.Sendto(c.v4, packet, 0, &unix.SockaddrInet4{Addr: [4]byte(packet[16:20])})
	case len(packet) >= 40 && packet[0]>>4 == 6 && c.v6 >= 0:
		return unix.Sendto(c.v6, packet, 0, &unix.SockaddrInet6{Addr: [16]byte(packet[24:40])})
	}
	return errors.New("emu: not an IP packet")
}

func (c *copier) close() {
	unix.Close(c.v4)
	if c.v6 >= 0 {
		unix.Close(c.v6)
	}
}
