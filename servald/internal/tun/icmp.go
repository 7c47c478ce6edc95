package tun

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// maxPings is how many echo requests wait for an answer at once. More get lost.
const maxPings = 64

// reason is why something could not be reached.
type reason int

const (
	noHost reason = iota
	noPort
)

// takeICMPv4 answers echo requests.
func (s *Stack) takeICMPv4(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	v := stack.PayloadSince(pkt.TransportHeader())
	defer v.Release()
	h := header.ICMPv4(v.AsSlice())
	if len(h) < header.ICMPv4MinimumSize || h.Type() != header.ICMPv4Echo || checksum.Checksum(h, 0) != 0xffff {
		return true
	}
	h = header.ICMPv4(v.ToSlice())
	s.answer(id, func(src, dst netip.Addr) []byte {
		h.SetType(header.ICMPv4EchoReply)
		h.SetChecksum(0)
		h.SetChecksum(^checksum.Checksum(h, 0))
		return appendIP(nil, header.ICMPv4ProtocolNumber, dst, src, h)
	})
	return true
}

// takeICMPv6 answers echo requests. Nothing else is meant for us: there are no
// neighbours and no routers on a TUN.
func (s *Stack) takeICMPv6(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	v := stack.PayloadSince(pkt.TransportHeader())
	defer v.Release()
	h := header.ICMPv6(v.AsSlice())
	if len(h) < header.ICMPv6EchoMinimumSize || h.Type() != header.ICMPv6EchoRequest {
		return true
	}
	h = header.ICMPv6(v.ToSlice())
	s.answer(id, func(src, dst netip.Addr) []byte {
		h.SetType(header.ICMPv6EchoReply)
		sumICMPv6(h, dst, src)
		return appendIP(nil, header.ICMPv6ProtocolNumber, dst, src, h)
	})
	return true
}

// answer sends what reply makes if the handler's ping succeeds. Otherwise an echo
// request stays unanswered, as by a host that is not there.
func (s *Stack) answer(id stack.TransportEndpointID, reply func(src, dst netip.Addr) []byte) {
	select {
	case s.pings <- struct{}{}:
	default:
		return
	}
	src, dst := toAddr(id.RemoteAddress), toAddr(id.LocalAddress)
	s.wg.Go(func() {
		defer func() { <-s.pings }()
		ctx, cancel := s.openContext()
		defer cancel()
		if err := s.handler.Ping(ctx, dst); err != nil {
			s.log.Debug("echo request not answered", "to", dst, "err", err)
			return
		}
		s.counts.echoes.Add(1)
		s.link.send(reply(src, dst))
	})
}

// unreachable tells src, in ICMP, that dst was not reached: packet, which begins with
// an IP header, is what src sent, or the beginning of it.
func (s *Stack) unreachable(src, dst netip.Addr, why reason, packet []byte) {
	// As much of it as fits (RFC 1812, 4.3.2.3; RFC 4443, 2.4 c).
	if src.Is4() {
		packet = packet[:min(len(packet), 576-header.IPv4MinimumSize-header.ICMPv4MinimumSize)]
		h := make(header.ICMPv4, header.ICMPv4MinimumSize, header.ICMPv4MinimumSize+len(packet))
		h.SetType(header.ICMPv4DstUnreachable)
		h.SetCode(header.ICMPv4HostUnreachable)
		if why == noPort {
			h.SetCode(header.ICMPv4PortUnreachable)
		}
		h = append(h, packet...)
		h.SetChecksum(^checksum.Checksum(h, 0))
		s.link.send(appendIP(nil, header.ICMPv4ProtocolNumber, dst, src, h))
		return
	}
	packet = packet[:min(len(packet), header.IPv6MinimumMTU-header.IPv6MinimumSize-header.ICMPv6DstUnreachableMinimumSize)]
	h := make(header.ICMPv6, header.ICMPv6DstUnreachableMinimumSize, header.ICMPv6DstUnreachableMinimumSize+len(packet))
	h.SetType(header.ICMPv6DstUnreachable)
	h.SetCode(header.ICMPv6AddressUnreachable)
	if why == noPort {
		h.SetCode(header.ICMPv6PortUnreachable)
	}
	h = append(h, packet...)
	sumICMPv6(h, dst, src)
	s.link.send(appendIP(nil, header.ICMPv6ProtocolNumber, dst, src, h))
}

func sumICMPv6(h header.ICMPv6, src, dst netip.Addr) {
	h.SetChecksum(0)
	h.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: h, Src: fromAddr(src), Dst: fromAddr(dst)}))
}

// ttl is the time to live of packets made here. They reach this host, or one that
// uses it as a router.
const ttl = 64

// appendIP appends a packet of proto from src to dst with payload to b. The result is
// nil if it is larger than a packet can be.
func appendIP(b []byte, proto tcpip.TransportProtocolNumber, src, dst netip.Addr, payload []byte) []byte {
	b = appendIPHeader(b, proto, src, dst, len(payload))
	if b == nil {
		return nil
	}
	return append(b, payload...)
}

// appendIPHeader appends the header of a packet with n bytes of payload.
func appendIPHeader(b []byte, proto tcpip.TransportProtocolNumber, src, dst netip.Addr, n int) []byte {
	if src.Is4() {
		if n > 0xffff-header.IPv4MinimumSize {
			return nil
		}
		b = append(b, make([]byte, header.IPv4MinimumSize)...)
		h := header.IPv4(b[len(b)-header.IPv4MinimumSize:])
		h.Encode(&header.IPv4Fields{
			TotalLength: uint16(header.IPv4MinimumSize + n),
			TTL:         ttl,
			Protocol:    uint8(proto),
			SrcAddr:     fromAddr(src),
			DstAddr:     fromAddr(dst),
		})
		h.SetChecksum(^h.CalculateChecksum())
		return b
	}
	if n > 0xffff {
		return nil
	}
	b = append(b, make([]byte, header.IPv6MinimumSize)...)
	header.IPv6(b[len(b)-header.IPv6MinimumSize:]).Encode(&header.IPv6Fields{
		PayloadLength:     uint16(n),
		TransportProtocol: proto,
		HopLimit:          ttl,
		SrcAddr:           fromAddr(src),
		DstAddr:           fromAddr(dst),
	})
	return b
}
