package simnet

import (
	"net/netip"

	"github.com/serval-net/serval/internal/underlay"
)

// Packet is one datagram as it leaves its host, or the NAT that hides it.
type Packet struct {
	From, To netip.AddrPort
	Data     []byte // only valid during the call
}

// Tap sees every datagram, but no report, before any link does. It may change the packet, and
// returns whether it goes on: an attacker on the path that observes, tampers,
// drops, and with Inject replays or delays. It is called on the sender's
// goroutine, hence by several at once, with no locks held.
type Tap func(p *Packet) bool

// SetTap installs the tap, or removes it if nil.
func (n *Network) SetTap(t Tap) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = t
}

// Inject puts a datagram on the path between two public addresses, whoever
// owns them. Taps do not see it.
func (n *Network) Inject(from, to netip.AddrPort, data []byte) {
	if len(data) == 0 || len(data) > underlay.MaxPayload {
		return
	}
	p := packet{buf: newBuffer(data), len: len(data), seg: len(data), from: from, to: to, stage: onPath}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forward(p, n.now())
}

// apply shows the datagrams of p to the tap and returns those that go on.
func (t Tap) apply(p packet) []packet {
	var on []packet
	for p.len > 0 {
		d := p.split()
		v := Packet{d.from, d.to, d.data()}
		if !t(&v) || len(v.Data) == 0 || len(v.Data) > underlay.MaxPayload {
			d.buf.release()
			continue
		}
		if len(v.Data) != d.len || &v.Data[0] != &d.data()[0] {
			d.buf.release()
			d.buf, d.off, d.len, d.seg = newBuffer(v.Data), 0, len(v.Data), len(v.Data)
		}
		d.from, d.to = v.From, v.To
		on = append(on, d)
	}
	return on
}
