package tun

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// flowBuffer is the size of the datagrams that a flow receives, in bytes, until one
// has filled it; then it is that of the largest datagram there can be.
const flowBuffer = 8 << 10

// takeDatagram takes a UDP packet.
func (s *Stack) takeDatagram(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	if s.ctx.Err() != nil || id.LocalPort == 0 || id.RemotePort == 0 {
		return true
	}
	ip := pkt.NetworkHeader().Slice()
	udp := header.UDP(pkt.TransportHeader().Slice())
	body := int(udp.Length()) - header.UDPMinimumSize
	if body < 0 || body > pkt.Data().Size() {
		return true
	}
	// The payload and the packet that it is in, for ICMP.
	n := len(ip) + len(udp)
	packet := make([]byte, n, n+body)
	copy(packet, ip)
	copy(packet[len(ip):], udp)
	if body > 0 {
		v := pkt.Data().AsRange().ToView()
		packet = append(packet, v.AsSlice()[:body]...)
		v.Release()
	}

	f, fresh := s.flows.get(flowKey{source(id), toAddr(id.LocalAddress)}, s.cfg.MaxFlows)
	s.flows.queue(f, datagram{packet[n:], packet, id.LocalPort})
	if fresh {
		s.wg.Go(func() { s.serveFlow(f, id.LocalPort) })
	}
	return true
}

// serveFlow opens f, whose first datagram is for port, and sends until it ends.
func (s *Stack) serveFlow(f *flow, port uint16) {
	defer s.flows.discard(f)
	ctx, cancel := s.openContext()
	d, err := s.handler.Datagrams(ctx, f.key.src, netip.AddrPortFrom(f.key.dst, port))
	cancel()
	if err != nil {
		if s.ctx.Err() != nil {
			return
		}
		s.log.Debug("datagrams refused", "from", f.key.src, "to", f.key.dst, "port", port, "err", err)
		why := noPort
		if IsUnreachable(err) {
			why = noHost
		}
		s.flows.remove(f)
		for p, ok := s.flows.left(f); ok; p, ok = s.flows.left(f) {
			s.refuse(f, p, why)
		}
		return
	}
	s.counts.flows.Add(1)
	received := make(chan struct{})
	s.wg.Go(func() {
		defer close(received)
		s.receive(f, d)
	})
	s.sendAll(f, d)
	d.Close()
	<-received
}

// refuse tells the client of f that p was in vain.
func (s *Stack) refuse(f *flow, p datagram, why reason) {
	if why == noPort {
		s.counts.refused.Add(1)
	} else {
		s.counts.unreachable.Add(1)
	}
	s.unreachable(f.key.src.Addr(), f.key.dst, why, p.packet)
}

// sendAll sends what the client sends, until f ends or is idle.
func (s *Stack) sendAll(f *flow, d Datagrams) {
	timer := time.NewTimer(s.cfg.FlowIdle)
	defer timer.Stop()
	for {
		select {
		case p := <-f.waiting:
			s.flows.taken(p)
			_, err := d.WriteTo(p.payload, p.port)
			switch {
			case errors.Is(err, syscall.ECONNREFUSED):
				s.refuse(f, p, noPort)
			case err != nil:
				s.log.Debug("datagram lost", "from", f.key.src, "to", f.key.dst, "port", p.port, "err", err)
			}
		case <-timer.C:
			idle := s.flows.idle(f)
			if idle >= s.cfg.FlowIdle {
				return
			}
			timer.Reset(s.cfg.FlowIdle - idle)
		case <-f.ended:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// receive sends what comes for f back to the client.
func (s *Stack) receive(f *flow, d Datagrams) {
	defer f.end()
	buf := make([]byte, flowBuffer)
	for {
		n, port, err := d.ReadFrom(buf)
		if errors.Is(err, syscall.ECONNREFUSED) && port != 0 {
			// What it answers is gone: its headers say enough.
			sent := datagramPacket(f.key.src, netip.AddrPortFrom(f.key.dst, port), nil)
			s.refuse(f, datagram{packet: sent, port: port}, noPort)
			continue
		}
		if err != nil {
			return
		}
		if n == len(buf) && n == flowBuffer {
			buf = make([]byte, maxPacket)
			continue // it was cut off
		}
		s.flows.touch(f)
		s.link.send(datagramPacket(netip.AddrPortFrom(f.key.dst, port), f.key.src, buf[:n]))
	}
}

// datagramPacket returns an IP packet with a UDP datagram, nil if it is too large.
func datagramPacket(src, dst netip.AddrPort, payload []byte) []byte {
	size := header.UDPMinimumSize + len(payload)
	b := appendIPHeader(nil, header.UDPProtocolNumber, src.Addr(), dst.Addr(), size)
	if b == nil || size > 0xffff {
		return nil
	}
	start := len(b)
	b = append(b, make([]byte, header.UDPMinimumSize)...)
	b = append(b, payload...)
	h := header.UDP(b[start:])
	h.Encode(&header.UDPFields{SrcPort: src.Port(), DstPort: dst.Port(), Length: uint16(size)})
	sum := ^checksum.Checksum(h, header.PseudoHeaderChecksum(header.UDPProtocolNumber, fromAddr(src.Addr()), fromAddr(dst.Addr()), uint16(size)))
	if sum == 0 {
		sum = 0xffff // 0 is: no checksum
	}
	h.SetChecksum(sum)
	return b
}
