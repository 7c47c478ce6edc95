package simnet

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

// packet is one or more datagrams of seg bytes on their way.
type packet struct {
	buf      *buffer
	off, len int // the part of buf that is ours
	seg      int
	from, to netip.AddrPort
	iface    *Interface // the sender's, later the receiver's
	nat      *NAT       // in whose address space it is, nil for the public one
	stage    stage
	report   *underlay.Unreachable // what buf quotes the datagram for, nil for datagrams
}

// stage is what a packet meets next.
type stage uint8

const (
	atUplink stage = iota
	onPath
	atNAT
	atDownlink
	arrived
)

func (p *packet) data() []byte { return p.buf.b[p.off : p.off+p.len : p.off+p.len] }

// split cuts the first datagram off p.
func (p *packet) split() packet {
	head := *p
	head.len = min(p.seg, p.len)
	p.off += head.len
	p.len -= head.len
	if p.len > 0 {
		p.buf.refs.Add(1)
	}
	return head
}

// join appends q to p if it was split from p's end, and reports whether.
func (p *packet) join(q packet) bool {
	if p.buf != q.buf || p.off+p.len != q.off || p.from != q.from ||
		p.seg != q.seg || p.len%p.seg != 0 {
		return false
	}
	p.len += q.len
	q.buf.release()
	return true
}

// clone copies p, as a handler may overwrite what it is given.
func (p *packet) clone() packet {
	c := *p
	c.buf, c.off = newBuffer(p.data()), 0
	return c
}

// buffer is memory that several packets share.
type buffer struct {
	b    []byte
	refs atomic.Int32
	pool *sync.Pool
}

var small, large sync.Pool // of *buffer

func newBuffer(data []byte) *buffer {
	pool, size := &large, 1<<16
	if len(data) <= 2048 {
		pool, size = &small, 2048
	}
	b, _ := pool.Get().(*buffer)
	if b == nil {
		b = &buffer{b: make([]byte, size), pool: pool}
	}
	copy(b.b, data)
	b.refs.Store(1)
	return b
}

func (b *buffer) release() {
	if b.refs.Add(-1) == 0 {
		b.pool.Put(b)
	}
}

// forward takes p as far as it gets now. The caller holds n.mu.
func (n *Network) forward(p packet, now time.Duration) {
	for {
		var l *Link
		st := p.stage
		p.stage++
		switch st {
		case atUplink:
			l = p.iface.uplink
			if !p.iface.up {
				p.buf.release()
				return
			}
		case onPath:
			l = n.paths[[2]netip.Addr{p.from.Addr(), p.to.Addr()}]
		case atNAT:
			if p.iface = n.route(&p); p.iface == nil {
				p.buf.release()
				return
			}
		case atDownlink:
			l = p.iface.downlink
		case arrived:
			p.iface.deliver(p, now)
			return
		}
		if l == nil {
			continue
		}
		if l.perPacket(&p) {
			for p.len > p.seg {
				n.pass(l, p.split(), now)
			}
			n.pass(l, p, now)
			return
		}
		if at := l.admit(now, &p); at > now {
			n.schedule(at, p)
			return
		}
	}
}

// pass takes one datagram through a link that treats each on its own.
func (n *Network) pass(l *Link, p packet, now time.Duration) {
	at := l.admit(now, &p)
	if at < 0 {
		p.buf.release()
		return
	}
	if l.duplicates() {
		n.next(p.clone(), at, now)
	}
	n.next(p, at, now)
}

func (n *Network) next(p packet, at, now time.Duration) {
	if at > now {
		n.schedule(at, p)
	} else {
		n.forward(p, now)
	}
}
