package tun

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// opening is the TCP connections whose SYN came and was not answered yet.
type opening struct {
	max int

	mu  sync.Mutex
	seq map[stack.TransportEndpointID]uint32 // sequence numbers of the SYNs
	to  map[tcpip.Address]int                // how many there are to an address
}

func (o *opening) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seq)
}

// add notes a SYN. It returns false if the SYN is a repeated one, or if there is no
// room for it.
func (o *opening) add(id stack.TransportEndpointID, seq uint32) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.seq[id]; known || len(o.seq) >= o.max || o.to[id.LocalAddress] >= max(1, o.max/4) {
		return false
	}
	if o.seq == nil {
		o.seq, o.to = make(map[stack.TransportEndpointID]uint32), make(map[tcpip.Address]int)
	}
	o.seq[id] = seq
	o.to[id.LocalAddress]++
	return true
}

// quote returns the beginning of the SYN of id, for ICMP.
func (o *opening) quote(id stack.TransportEndpointID) []byte {
	o.mu.Lock()
	seq := o.seq[id]
	o.mu.Unlock()
	h := make(header.TCP, header.TCPMinimumSize)
	h.Encode(&header.TCPFields{
		SrcPort: id.RemotePort, DstPort: id.LocalPort, SeqNum: seq,
		DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn,
	})
	return appendIP(nil, header.TCPProtocolNumber, toAddr(id.RemoteAddress), toAddr(id.LocalAddress), h)
}

func (o *opening) remove(id stack.TransportEndpointID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.seq[id]; !known {
		return
	}
	delete(o.seq, id)
	if o.to[id.LocalAddress]--; o.to[id.LocalAddress] == 0 {
		delete(o.to, id.LocalAddress)
	}
}
