package netstack

import (
	"io"
	"net"
	"os"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// Source is a stream that says how much of it is there. From one, a Conn's ReadFrom
// copies straight into the memory that is sent: once, where other readers cost two
// copies, and without a buffer while it waits. A Conn is a Source.
type Source interface {
	io.Reader

	// Buffered waits until Read would not wait, and returns how many bytes Read gives
	// then, if they fit. Its error is what Read would return. Read and Buffered are
	// called by one goroutine.
	Buffered() (int, error)
}

// Sink is what copies from a Source in its own way, until io.EOF, which is no error. A
// Conn's WriteTo leaves it to that.
type Sink interface {
	SpliceFrom(Source) (int64, error)
}

// Pull is up to N bytes of a Source, of which Buffered has said that they are there, as
// what a TCP endpoint sends. Write it with WriteOptions that are not Atomic: the Source
// may be an endpoint too, and no two may be locked at once.
type Pull struct {
	Source
	N   int
	Err error // of the Source: TCP would not return it
}

// Len implements tcpip.Payloader.
func (p *Pull) Len() int { return p.N }

// Read implements tcpip.Payloader.
func (p *Pull) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := p.Source.Read(b)
	if err != nil {
		p.Err = err
	}
	return n, err
}

// Piece returns how much of n bytes to send at once, at most most: a short piece at the
// end would cost as much as a full one.
func Piece(n, most int) int {
	pieces := (n + most - 1) / most
	return (n + pieces - 1) / max(pieces, 1)
}

// Buffered implements Source.
func (c *Conn) Buffered() (int, error) {
	c.rd.op.Lock()
	defer c.rd.op.Unlock()
	for {
		switch {
		case c.closed.Load():
			return 0, net.ErrClosed
		case c.rd.timedOut():
			return 0, os.ErrDeadlineExceeded
		case c.deaf.Load():
			return 0, io.EOF
		}
		c.rd.clear()
		if n, err := c.e.readable(); n > 0 || err != nil {
			return n, c.unlessClosed(err)
		}
		c.rd.wait()
	}
}

// spliceAtOnce is how many bytes of a Source are sent together. Cut into packets for
// links of 1500 bytes, they just fit what a socket sends at once: 64 KiB with all headers.
// A few more, which is what loopback TCP likes to bring, would leave in a packet or two by
// themselves; so they wait for what comes next.
const spliceAtOnce = 61 << 10

// splice writes until src ends.
func (c *Conn) splice(src Source) (written int64, err error) {
	for {
		n, err := src.Buffered()
		if err == nil {
			n, err = c.pull(src, min(n, spliceAtOnce))
			written += int64(n)
		}
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// pull writes up to n bytes that src has.
func (c *Conn) pull(src Source, n int) (int, error) {
	c.wr.op.Lock()
	defer c.wr.op.Unlock()
	for {
		if c.closed.Load() {
			return 0, net.ErrClosed
		}
		if c.wr.timedOut() {
			return 0, os.ErrDeadlineExceeded
		}
		c.wr.clear()
		if room, err := c.e.writable(); err != nil {
			return 0, err
		} else if !room && !c.mute.Load() {
			c.wr.wait()
			continue
		}
		if c.e.quiet(n) {
			return c.pullPast(src, n)
		}
		c.pulled = Pull{Source: src, N: n}
		done, err := c.tcp.Write(&c.pulled, tcpip.WriteOptions{})
		failure := c.pulled.Err
		c.pulled = Pull{}
		c.written += uint64(done)
		switch err.(type) {
		case nil:
			c.e.wrote(int(done))
			return int(done), nil
		case *tcpip.ErrWouldBlock:
			c.wr.wait()
			continue
		}
		if failure != nil {
			return 0, failure
		}
		return 0, c.writeError(err)
	}
}

// pullPast is pull where TCP is not needed. The caller holds wr.op.
func (c *Conn) pullPast(src Source, n int) (int, error) {
	v := buffer.NewViewSize(n)
	n, err := src.Read(v.AsSlice())
	if err != nil {
		v.Release()
		return 0, err
	}
	v.CapLength(n)
	if c.e.past(v) {
		return n, nil
	}
	defer v.Release()
	return c.write(v.AsSlice())
}
