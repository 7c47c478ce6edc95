package tun

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// link is a device as a netstack interface. It has no queue: a packet is written on
// the goroutine that makes it.
type link struct {
	stack.NetworkDispatcher
	dev     Device
	write   func(head, tail []byte) error
	dropped atomic.Uint64
}

func newLink(dev Device) *link {
	l := &link{dev: dev, write: joined(dev)}
	if v, ok := dev.(vectored); ok {
		l.write = v.writev
	}
	return l
}

// joined writes packets in one piece.
func joined(dev Device) func(head, tail []byte) error {
	return func(head, tail []byte) error {
		v := buffer.NewView(len(head) + len(tail))
		defer v.Release()
		v.Write(head)
		v.Write(tail)
		_, err := dev.Write(v.AsSlice())
		return err
	}
}

func (l *link) MTU() uint32                           { return uint32(l.dev.MTU()) }
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

// Capabilities says that checksums were verified: see valid.
func (*link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

// close ends run.
func (l *link) close() { l.dev.Close() }

// maxPacket is the largest that an IP packet may be.
const maxPacket = 1 << 16

// keepPacket is the size from which on a packet keeps the memory that it was read
// into. Smaller ones are copied, so that what waits is not much larger than it seems.
const keepPacket = 32 << 10

// run takes packets from the device until that fails.
func (l *link) run() error {
	v := buffer.NewViewSize(maxPacket)
	defer func() { v.Release() }()
	for {
		n, err := l.dev.Read(v.AsSlice())
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if n < keepPacket {
			l.take(buffer.NewViewWithData(v.AsSlice()[:n]))
			continue
		}
		v.CapLength(n)
		l.take(v)
		v = buffer.NewViewSize(maxPacket)
	}
}

// take hands a packet, whose memory it takes over, to the stack.
func (l *link) take(v *buffer.View) {
	b := v.AsSlice()
	size, proto, ok := inspect(b)
	if !ok {
		v.Release()
		return
	}
	// The headers get a view of their own, because netstack copies a shared view to
	// look at a header in it.
	var buf buffer.Buffer
	if size < len(b) {
		buf = buffer.MakeWithView(buffer.NewViewWithData(b[:size]))
		v.TrimFront(size)
		data := buffer.MakeWithView(v)
		buf.Merge(&data)
	} else {
		buf = buffer.MakeWithView(v)
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buf})
	l.DeliverNetworkPacket(proto, pkt)
	pkt.DecRef()
}

// WritePackets implements stack.LinkWriter.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		(*qdisc)(l).WritePacket(pkt)
	}
	return pkts.Len(), nil
}

// qdisc is the link as its own queueing discipline: without a queue, and without the
// list that the default one allocates for each packet.
type qdisc link

func (*qdisc) Close() {}

// WritePacket writes pkt. One that the device does not take is lost, as on any link.
func (q *qdisc) WritePacket(pkt *stack.PacketBuffer) tcpip.Error {
	views, unused := pkt.AsViewList()
	first := views.Front()
	var err error
	switch second := first.Next(); {
	case second == nil:
		err = q.write(first.AsSlice()[unused:], nil)
	case second.Next() == nil && unused < first.Size():
		err = q.write(first.AsSlice()[unused:], second.AsSlice())
	default:
		v := pkt.ToView()
		err = q.write(v.AsSlice(), nil)
		v.Release()
	}
	if err != nil {
		q.dropped.Add(1)
	}
	return nil
}

// send writes a packet that was made here.
func (l *link) send(packet []byte) {
	if packet == nil {
		return
	}
	if err := l.write(packet, nil); err != nil {
		l.dropped.Add(1)
	}
}
