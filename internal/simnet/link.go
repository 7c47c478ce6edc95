package simnet

import (
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

// Params says what a link does to each datagram. The zero value is perfect.
type Params struct {
	Delay  time.Duration // one way
	Jitter time.Duration // up to this much more, evenly spread, in order

	Loss      float64 // chance to lose a datagram, 0..1
	Duplicate float64 // chance to deliver it twice
	Reorder   float64 // chance to hold it back by ReorderBy

	ReorderBy time.Duration // 0 means 1 ms

	Rate  int64         // bits per second with headers, 0 means unlimited
	Queue time.Duration // longest wait for Rate, then tail drop; 0 means 50 ms

	// MTU is the largest IP packet. An uplink refuses larger ones with
	// underlay.ErrTooBig, where 0 means 1500; other links lose them silently,
	// where 0 means unlimited.
	MTU int

	Blackhole bool // lose everything
}

// Link carries packets one way. Safe for concurrent use.
type Link struct {
	net   *Network
	rand  *rand.Rand
	p     Params
	busy  time.Duration // when the transmitter becomes free
	last  time.Duration // when the latest packet arrives
	stats Stats
}

// Stats counts the datagrams of a link.
type Stats struct {
	Packets, Bytes int // admitted, without headers
	Lost           int // by Loss, Blackhole or MTU
	Overflowed     int // by Queue, or by the socket's receive buffer
}

func newLink(n *Network, name string) *Link {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &Link{net: n, rand: rand.New(rand.NewPCG(n.seed, h.Sum64()))}
}

// Set replaces the link's parameters; packets already on it are not affected.
func (l *Link) Set(p Params) {
	l.Update(func(old *Params) { *old = p })
}

// Update lets f change the parameters.
func (l *Link) Update(f func(*Params)) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	f(&l.p)
}

// Stats returns the counters so far.
func (l *Link) Stats() Stats {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	return l.stats
}

// perPacket reports whether the datagrams of p may fare differently.
func (l *Link) perPacket(p *packet) bool {
	c := &l.p
	return c.Jitter > 0 || c.Loss > 0 || c.Duplicate > 0 || c.Reorder > 0 ||
		c.Rate > 0 || c.Blackhole || c.MTU > 0 && p.seg+headers(p.to.Addr()) > c.MTU
}

// admit says when p leaves the link, or -1 for never.
func (l *Link) admit(now time.Duration, p *packet) time.Duration {
	c := &l.p
	size := p.len + headers(p.to.Addr())
	if c.Blackhole || c.MTU > 0 && size > c.MTU || l.chance(c.Loss) {
		l.stats.Lost++
		return -1
	}
	at := now
	if c.Rate > 0 {
		queue := c.Queue
		if queue == 0 {
			queue = 50 * time.Millisecond
		}
		at = max(now, l.busy)
		if at-now > queue {
			l.stats.Overflowed++
			return -1
		}
		at += time.Duration(int64(size) * 8 * int64(time.Second) / c.Rate)
		l.busy = at
	}
	l.stats.Packets += (p.len + p.seg - 1) / p.seg
	l.stats.Bytes += p.len
	at += c.Delay
	if c.Jitter > 0 {
		at += time.Duration(l.rand.Int64N(int64(c.Jitter)))
	}
	if l.chance(c.Reorder) {
		if c.ReorderBy > 0 {
			return at + c.ReorderBy
		}
		return at + time.Millisecond
	}
	l.last = max(l.last, at)
	return l.last
}

func (l *Link) duplicates() bool { return l.chance(l.p.Duplicate) }

func (l *Link) chance(p float64) bool { return p > 0 && l.rand.Float64() < p }

// payload is the largest datagram an uplink takes, under headers of a size.
func (l *Link) payload(headers int) int { return min(l.mtu()-headers, underlay.MaxPayload) }

// mtu is the largest packet an uplink takes.
func (l *Link) mtu() int {
	if l.p.MTU == 0 {
		return 1500
	}
	return l.p.MTU
}
