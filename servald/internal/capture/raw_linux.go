package capture

import (
	"errors"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// rawSender sends datagrams from addresses and ports that are not ours, without a
// socket there: one would keep programs of this host from that port, if they listen at
// every address, and they it.
type rawSender struct {
	mu     sync.Mutex
	v4, v6 int // descriptors, -1 if there is none
	b      []byte
}

// newRawSender opens what it can; it takes CAP_NET_RAW.
func newRawSender() *rawSender {
	s := &rawSender{v4: -1, v6: -1}
	for family, fd := range map[int]*int{unix.AF_INET: &s.v4, unix.AF_INET6: &s.v6} {
		// With this protocol, packets come with their headers.
		if n, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW); err == nil {
			*fd = n
		}
	}
	return s
}

// send sends a datagram. It fails with errNoRaw where it may not or cannot: the kernel
// does not cut such packets into fragments.
func (s *rawSender) send(from, to netip.AddrPort, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch v4 := to.Addr().Is4(); {
	case v4 != from.Addr().Is4():
		return errors.New("an IPv4 and an IPv6 address")
	case v4 && s.v4 >= 0 && header.IPv4MinimumSize+header.UDPMinimumSize+len(payload) <= 0xffff:
		s.b = appendPacket4(s.b[:0], from, to, payload)
		err = unix.Sendto(s.v4, s.b, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
	case !v4 && s.v6 >= 0 && header.UDPMinimumSize+len(payload) <= 0xffff:
		s.b = appendPacket6(s.b[:0], from, to, payload)
		err = unix.Sendto(s.v6, s.b, 0, &unix.SockaddrInet6{Addr: to.Addr().As16()})
	default:
		return errNoRaw
	}
	if err == unix.EMSGSIZE || err == unix.EPERM {
		return errNoRaw
	}
	return err
}

var errNoRaw = errors.New("raw packets cannot be sent")

func (s *rawSender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fd := range []*int{&s.v4, &s.v6} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// appendPacket4 appends an IPv4 packet (RFC 791). The kernel fills in its checksum and
// its identification.
func appendPacket4(b []byte, from, to netip.AddrPort, payload []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, header.IPv4MinimumSize)...)
	src, dst := tcpip.AddrFrom4(from.Addr().As4()), tcpip.AddrFrom4(to.Addr().As4())
	b = appendUDP(b, src, dst, from.Port(), to.Port(), payload)
	header.IPv4(b[start:]).Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b) - start), TTL: 64, Protocol: uint8(header.UDPProtocolNumber), SrcAddr: src, DstAddr: dst,
	})
	return b
}

// appendPacket6 appends an IPv6 packet (RFC 8200).
func appendPacket6(b []byte, from, to netip.AddrPort, payload []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, header.IPv6MinimumSize)...)
	src, dst := tcpip.AddrFrom16(from.Addr().As16()), tcpip.AddrFrom16(to.Addr().As16())
	b = appendUDP(b, src, dst, from.Port(), to.Port(), payload)
	header.IPv6(b[start:]).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(b) - start - header.IPv6MinimumSize), TransportProtocol: header.UDPProtocolNumber, HopLimit: 64, SrcAddr: src, DstAddr: dst,
	})
	return b
}

// appendUDP appends a UDP datagram (RFC 768) with its checksum.
func appendUDP(b []byte, src, dst tcpip.Address, from, to uint16, payload []byte) []byte {
	start, length := len(b), uint16(header.UDPMinimumSize+len(payload))
	b = append(b, make([]byte, header.UDPMinimumSize)...)
	b = append(b, payload...)
	udp := header.UDP(b[start:])
	udp.Encode(&header.UDPFields{SrcPort: from, DstPort: to, Length: length})
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, length)
	sum = ^udp.CalculateChecksum(checksum.Checksum(payload, sum))
	if sum == 0 {
		sum = 0xffff // 0 says that there is none
	}
	udp.SetChecksum(sum)
	return b
}
