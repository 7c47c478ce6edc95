package netstack

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Endpoint is the link's side of one TCP endpoint: it plays TCP's peer. Conn is
// the application's side. All methods are safe for concurrent use.
type Endpoint struct {
	conn  Conn
	stack *Stack
	link  Link
	peer  tcpip.FullAddress

	// What TCP sent. Written under gVisor's endpoint lock.
	iss  uint32        // sequence number of TCP's SYN
	sent atomic.Uint64 // stream offset after the last byte, or FIN, sent, by TCP or past it
	last atomic.Uint64 // the same, of what TCP sent
	segs atomic.Int32  // segments sent since TCP was last told of an Ack
	fin  atomic.Bool   // sent counts TCP's FIN

	mu   sync.Mutex
	done bool // TCP was reset, by either side: nothing more goes in
	tx   ackState
	rx   receiveState
}

func newEndpoint(s *Stack, l Link, peer tcpip.FullAddress) *Endpoint {
	e := &Endpoint{stack: s, link: l, peer: peer}
	e.conn.init(e)
	return e
}

// open connects e to its virtual peer and waits until TCP is established.
func (e *Endpoint) open() tcpip.Error {
	c := &e.conn
	ep, err := e.stack.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &c.queue)
	if err != nil {
		return err
	}
	c.tcp = ep.(*tcp.Endpoint)
	c.tcp.SetOwner((*owner)(e))
	// All endpoints share one local port, which costs no reservation each.
	ep.SocketOptions().SetReuseAddress(true)
	if err := ep.Bind(tcpip.FullAddress{NIC: nicID, Addr: localAddr, Port: localPort}); err != nil {
		ep.Close()
		return err
	}
	c.wr.clear()
	if err := ep.Connect(e.peer); err != nil {
		if _, started := err.(*tcpip.ErrConnectStarted); !started {
			ep.Close()
			return err
		}
	}
	c.wr.wait()
	if tcp.EndpointState(ep.State()) != tcp.StateEstablished {
		ep.Close()
		return &tcpip.ErrConnectionAborted{}
	}
	return nil
}

// Conn returns the application's side.
func (e *Endpoint) Conn() *Conn { return &e.conn }

// output takes a packet TCP sends. It runs under gVisor's endpoint lock.
func (e *Endpoint) output(pkt *stack.PacketBuffer) {
	h := header.TCP(pkt.TransportHeader().Slice())
	flags, seq, n := h.Flags(), h.SequenceNumber(), pkt.Data().Size()
	switch {
	case flags.Contains(header.TCPFlagRst):
		e.aborted()
		return
	case flags.Contains(header.TCPFlagSyn):
		e.iss = seq
		e.answerSYN()
		return
	case n == 0 && !flags.Contains(header.TCPFlagFin):
		return // An acknowledgement: nothing here ever gets lost.
	}
	off := e.sent.Load()
	if seq != e.iss+1+uint32(off-e.tx.past) {
		return // A retransmission; with a frozen clock there are none.
	}
	e.segs.Add(1)
	if n > 0 {
		e.sent.Store(off + uint64(n))
		e.last.Store(off + uint64(n))
		e.link.Output(newChunk(off, pkt))
		return
	}
	e.sent.Store(off + 1)
	e.last.Store(off + 1)
	e.fin.Store(true)
	e.link.OutputFIN(off)
}

// aborted ends e after TCP sent a reset.
func (e *Endpoint) aborted() {
	e.mu.Lock()
	first := !e.done
	e.done = true
	e.rx.discard()
	e.mu.Unlock()
	e.conn.rd.wake()
	if first {
		e.link.Abort()
	}
}

// answerSYN completes the handshake: the SYN-ACK carries the peer's options, the
// acknowledgement after it the window, which is not scaled in a SYN.
func (e *Endpoint) answerSYN() {
	options := [8]byte{
		header.TCPOptionMSS, 4, byte(MaxSegment >> 8), byte(MaxSegment & 0xff),
		header.TCPOptionNOP, header.TCPOptionWS, 3, byte(e.windowScale()),
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.segment(nil, header.TCPFlagSyn|header.TCPFlagAck, options[:])
	e.rx.seq = 1
	e.segment(nil, header.TCPFlagAck, nil)
}

// windowScale is the shift that lets 16 bits express SendBuffer.
func (e *Endpoint) windowScale() int {
	return max(0, bits.Len(uint(e.stack.sendBuffer))-16)
}

// segment injects one segment from the virtual peer, with the payload v, which
// may be nil and which it takes over. The caller holds e.mu, so that segments
// are queued in the order of their sequence numbers.
func (e *Endpoint) segment(v *buffer.View, flags header.TCPFlags, options []byte) {
	// The headers get a view of their own, because netstack copies a shared
	// view to look at a header in it. Checksums: see link.Capabilities.
	size := header.IPv4MinimumSize + header.TCPMinimumSize + len(options)
	headers := buffer.NewViewSize(size)
	h := headers.AsSlice()
	header.IPv4(h).Encode(&header.IPv4Fields{
		TotalLength: uint16(size + v.Size()),
		TTL:         1,
		Protocol:    uint8(tcp.ProtocolNumber),
		SrcAddr:     e.peer.Addr,
		DstAddr:     localAddr,
	})
	window := e.stack.sendBuffer >> e.windowScale()
	header.TCP(h[header.IPv4MinimumSize:]).Encode(&header.TCPFields{
		SrcPort:    e.peer.Port,
		DstPort:    localPort,
		SeqNum:     uint32(e.rx.seq),
		AckNum:     e.iss + 1 + uint32(e.tx.ofTCP()),
		DataOffset: uint8(header.TCPMinimumSize + len(options)),
		Flags:      flags,
		WindowSize: uint16(min(window, 0xffff)),
	})
	copy(h[header.IPv4MinimumSize+header.TCPMinimumSize:], options)

	// Merge, because Append would fill the headers' view from the payload.
	buf := buffer.MakeWithView(headers)
	if v != nil {
		data := buffer.MakeWithView(v)
		buf.Merge(&data)
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buf})
	e.stack.link.DeliverNetworkPacket(ipv4.ProtocolNumber, pkt)
	pkt.DecRef()
	e.tx.reported = e.tx.acked
	if e.tx.acked == e.sent.Load() {
		e.tx.told = min(e.tx.told+e.segs.Swap(0), maxAckEvery)
	}
}
