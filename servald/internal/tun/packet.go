package tun

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// inspect looks at an IP packet from the device before the stack does: what protocol
// it is of, how long the headers up to the transport's end, and whether it is worth
// taking: complete, to one host, and with a checksum that is right. What is no plain
// TCP or UDP is for the stack to judge.
func inspect(b []byte) (headers int, proto tcpip.NetworkProtocolNumber, ok bool) {
	switch header.IPVersion(b) {
	case header.IPv4Version:
		return inspectIPv4(b)
	case header.IPv6Version:
		return inspectIPv6(b)
	}
	return 0, 0, false
}

func inspectIPv4(b []byte) (int, tcpip.NetworkProtocolNumber, bool) {
	if len(b) < header.IPv4MinimumSize {
		return 0, 0, false
	}
	h := header.IPv4(b)
	size, total := int(h.HeaderLength()), int(h.TotalLength())
	if size < header.IPv4MinimumSize || total < size || total > len(b) || b[16] >= 224 {
		return 0, 0, false // the last: multicast and broadcast
	}
	if h.More() || h.FragmentOffset() != 0 {
		return size, ipv4.ProtocolNumber, true
	}
	n, ok := inspectTransport(b[size:total], h.TransportProtocol(), h.SourceAddress(), h.DestinationAddress())
	return size + n, ipv4.ProtocolNumber, ok
}

func inspectIPv6(b []byte) (int, tcpip.NetworkProtocolNumber, bool) {
	if len(b) < header.IPv6MinimumSize {
		return 0, 0, false
	}
	h := header.IPv6(b)
	total := header.IPv6MinimumSize + int(h.PayloadLength())
	if total > len(b) || b[24] == 0xff {
		return 0, 0, false
	}
	n, ok := inspectTransport(b[header.IPv6MinimumSize:total], tcpip.TransportProtocolNumber(h.NextHeader()), h.SourceAddress(), h.DestinationAddress())
	return header.IPv6MinimumSize + n, ipv6.ProtocolNumber, ok
}

// inspectTransport returns the length of the transport header of a packet that is
// TCP or UDP.
func inspectTransport(b []byte, proto tcpip.TransportProtocolNumber, src, dst tcpip.Address) (int, bool) {
	var sum uint16
	var n int
	switch proto {
	case header.TCPProtocolNumber:
		if len(b) < header.TCPMinimumSize {
			return 0, false
		}
		n = int(header.TCP(b).DataOffset())
		if n < header.TCPMinimumSize || n > len(b) {
			return 0, false
		}
		sum = header.TCP(b).Checksum()
	case header.UDPProtocolNumber:
		if len(b) < header.UDPMinimumSize {
			return 0, false
		}
		n = header.UDPMinimumSize
		if sum = header.UDP(b).Checksum(); sum == 0 {
			return n, src.BitLen() == 32 // RFC 8200, 8.1
		}
	default:
		return 0, true
	}
	return n, valid(b, sum, header.PseudoHeaderChecksum(proto, src, dst, uint16(len(b))))
}

// valid reports whether sum, the checksum of b, is right. A packet that this host
// made has only the pseudo header's sum there: its kernel leaves the rest to hardware
// that is not there. One that the host forwards has a whole one, which nobody has
// looked at yet.
func valid(b []byte, sum, pseudo uint16) bool {
	return sum == pseudo || checksum.Checksum(b, pseudo) == 0xffff
}
