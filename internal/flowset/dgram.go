package flowset

import "errors"

// DatagramSink is a Sink of a datagram connection. b is the sink's to keep.
type DatagramSink interface {
	Sink
	Datagram(b []byte)
}

// maxQueued bounds datagrams that wait for the path; the oldest are dropped,
// since a late datagram is worth less than a fresh one.
const maxQueued = 256

// ErrTooLong is a datagram that no packet of the path can carry.
var ErrTooLong = errors.New("datagram is longer than the path's packets; keep to Conn.MaxDatagram bytes")

// dgramQueue is a bounded queue of outgoing datagrams. The zero value is empty.
type dgramQueue struct {
	q       [][]byte
	head, n int
	dropped uint64
	on      *path // has carried the first of the queue, which is to leave on another too
}

func (d *dgramQueue) push(b []byte) {
	if d.q == nil {
		d.q = make([][]byte, maxQueued)
	}
	if d.n == maxQueued {
		d.pop()
		d.dropped++
	}
	d.q[(d.head+d.n)%maxQueued] = b
	d.n++
}

func (d *dgramQueue) peek() []byte { return d.q[d.head] }

// sent takes note that p carries the first of the queue. Unless it is to leave
// again on another flow, or has, it is done with.
func (d *dgramQueue) sent(p *path, again bool) {
	if d.on == nil && again {
		d.on = p
		return
	}
	d.pop()
}

func (d *dgramQueue) pop() {
	d.on = nil
	d.q[d.head] = nil
	d.head = (d.head + 1) % maxQueued
	d.n--
}

// SendDatagram queues a copy of head and b as one datagram. Head may be nil.
func (c *Conn) SendDatagram(head, b []byte) error {
	if c.err != nil {
		return c.err
	}
	if len(head)+len(b) > c.MaxDatagram() {
		return ErrTooLong
	}
	c.dgrams.push(append(append(make([]byte, 0, len(head)+len(b)), head...), b...))
	return nil
}

// MaxDatagram is the longest datagram that fits a packet now.
func (c *Conn) MaxDatagram() int {
	least := 0
	for _, p := range c.paths {
		if m := p.f.MTU() - shortOverhead; least == 0 || m < least {
			least = m
		}
	}
	return least
}
