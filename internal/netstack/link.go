package netstack

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Link carries one connection's stream to its peer. Its methods, except
// Consumed, are called on whatever goroutine makes TCP transmit, under the
// endpoint's lock: they must not block, and of the same Endpoint they may call
// only Ack, Deliver, DeliverFIN and DeliverReset.
type Link interface {
	// Output takes the next bytes the application wrote: in order, each byte
	// exactly once. The implementer owns c and calls c.Release.
	Output(c Chunk)

	// OutputFIN says that the application will write no more: the stream is
	// off bytes long. The FIN itself occupies offset off, so Ack(off+1)
	// acknowledges it.
	OutputFIN(off uint64)

	// Abort says that TCP reset the connection: the application closed it
	// with data unread or received data after closing it, or Conn.Abort or
	// Stack.Close was called. Nothing else is called afterwards.
	Abort()

	// Consumed says that the application read n more bytes, so the receive
	// window may move. It is called on the reading goroutine, without the
	// endpoint's lock; it must not call Conn.Read.
	Consumed(n int)
}

// link is the stack's only interface. Whatever it is asked to send goes to the
// virtual peer of the endpoint that sent it, which is the packet's owner.
type link struct {
	stack.NetworkDispatcher
}

func (*link) MTU() uint32                             { return mtu }
func (*link) SetMTU(uint32)                           {}
func (*link) MaxHeaderLength() uint16                 { return 0 }
func (*link) LinkAddress() tcpip.LinkAddress          { return "" }
func (*link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) Attach(d stack.NetworkDispatcher)      { l.NetworkDispatcher = d }
func (l *link) IsAttached() bool                      { return l.NetworkDispatcher != nil }
func (*link) Wait()                                   {}
func (*link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (*link) AddHeader(*stack.PacketBuffer)           {}
func (*link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (*link) Close()                                  {}
func (*link) SetOnCloseAction(func())                 {}

// Capabilities turns checksums off: nothing corrupts a packet in memory.
func (*link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload | stack.CapabilityTXChecksumOffload
}

// WritePackets implements stack.LinkWriter.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		(*qdisc)(l).WritePacket(pkt)
	}
	return pkts.Len(), nil
}

// qdisc is the link as its own queueing discipline: without a queue, and
// without the list that the default one allocates for each packet.
type qdisc link

func (*qdisc) Close() {}

// WritePacket hands pkt to its endpoint. Packets without an owner are resets
// that answer a segment injected while its endpoint went away.
func (*qdisc) WritePacket(pkt *stack.PacketBuffer) tcpip.Error {
	if o, ok := pkt.Owner.(*owner); ok {
		(*Endpoint)(o).output(pkt)
	}
	return nil
}

// owner is an Endpoint as the owner of its packets.
type owner Endpoint

func (*owner) KUID() uint32 { return 0 }
func (*owner) KGID() uint32 { return 0 }
