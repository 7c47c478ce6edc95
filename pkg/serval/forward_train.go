package serval

import (
	"net/netip"

	"github.com/serval-net/serval/internal/underlay"
)

// nextHop is where a first packet goes, and by which socket.
type nextHop struct {
	addr netip.AddrPort
	by   underlay.Socket
}

// maxTrains is how many next hops packets are gathered for at a time.
const maxTrains = 16

// trainYard gathers the packets that one socket's reader forwards, of whichever
// dialler, so that those of one length to one next hop leave in one system call.
type trainYard struct {
	n int
	t [maxTrains]train
}

type train struct {
	to   nextHop
	size int // of each packet
	buf  *[]byte
	len  int
}

// put adds a packet.
func (y *trainYard) put(pkt []byte, to nextHop) {
	i := 0
	for i < y.n && y.t[i].to != to {
		i++
	}
	if i == maxTrains {
		i = 0
		y.t[0].leave()
	}
	t := &y.t[i]
	if t.len > 0 && (t.size != len(pkt) || t.len+len(pkt) > len(*t.buf)) {
		t.leave()
	}
	if t.buf == nil {
		t.buf = trains.Get().(*[]byte)
	}
	t.to, t.size = to, len(pkt)
	t.len += copy((*t.buf)[t.len:], pkt)
	y.n = max(y.n, i+1)
}

// flush sends all.
func (y *trainYard) flush() {
	for i := range y.t[:y.n] {
		t := &y.t[i]
		t.leave()
		trains.Put(t.buf)
		*t = train{}
	}
	y.n = 0
}

func (t *train) leave() {
	if t.len > 0 {
		t.to.by.Send((*t.buf)[:t.len], t.size, t.to.addr) // an error is a silent next hop
		t.len = 0
	}
}
