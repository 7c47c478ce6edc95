package netstack

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Conn is the application's side of an [Endpoint], a [net.Conn] with half-close.
// All methods are safe for concurrent use.
//
// Errors are plain: io.EOF, net.ErrClosed after Close, os.ErrDeadlineExceeded,
// syscall.EPIPE from Write after CloseWrite, ErrReset after a reset by TCP, or
// the error given to Endpoint.DeliverReset or Abort.
type Conn struct {
	e     *Endpoint
	tcp   *tcp.Endpoint
	queue waiter.Queue
	entry waiter.Entry

	rd, wr  half
	head    *buffer.View // what Read has begun; with rd.op
	src     source       // what Write sends; here so that it needs no allocation
	pulled  Pull         // what ReadFrom sends; likewise
	written uint64       // bytes that TCP took

	closed  atomic.Bool
	deaf    atomic.Bool           // CloseRead was called
	mute    atomic.Bool           // CloseWrite was called
	failure atomic.Pointer[error] // from DeliverReset or Abort
}

var (
	_ net.Conn      = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
	_ io.ReaderFrom = (*Conn)(nil)
)

func (c *Conn) init(e *Endpoint) {
	c.e = e
	c.rd.cond.L = &c.rd.mu
	c.wr.cond.L = &c.wr.mu
	c.entry.Init((*listener)(c), waiter.ReadableEvents|waiter.WritableEvents|waiter.EventHUp|waiter.EventErr)
	c.queue.EventRegister(&c.entry)
}

// listener is a Conn as TCP's event listener.
type listener Conn

// NotifyEvent implements waiter.EventListener.
func (l *listener) NotifyEvent(mask waiter.EventMask) {
	const end = waiter.EventHUp | waiter.EventErr
	if mask&(waiter.ReadableEvents|end) != 0 {
		l.rd.wake()
	}
	if mask&(waiter.WritableEvents|end) != 0 {
		l.wr.wake()
	}
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	c.rd.op.Lock()
	defer c.rd.op.Unlock()
	for {
		n, empty, err := c.readNow(b)
		if !empty {
			return n, err
		}
		c.rd.wait()
	}
}

// readNow is Read that does not wait, but reports whether it would have to. The
// caller holds rd.op, and goes on holding it while it waits.
func (c *Conn) readNow(b []byte) (n int, empty bool, err error) {
	switch {
	case c.closed.Load():
		return 0, false, net.ErrClosed
	case c.rd.timedOut():
		return 0, false, os.ErrDeadlineExceeded
	case c.deaf.Load():
		return 0, false, io.EOF
	case len(b) == 0:
		return 0, false, nil
	}
	c.rd.clear()
	for {
		for n < len(b) && c.begin() {
			k := copy(b[n:], c.head.AsSlice())
			c.drop(k)
			n += k
		}
		if n > 0 {
			c.e.consumed(n)
			return n, false, nil
		}
		left, err := c.e.readable()
		if left == 0 {
			return 0, err == nil, c.unlessClosed(err)
		}
		// Something has come meanwhile.
	}
}

// begin has the next bytes to read in head, and reports whether there are any. The
// caller holds rd.op.
func (c *Conn) begin() bool {
	if c.head == nil {
		c.head = c.e.next()
	}
	return c.head != nil
}

// drop drops the first n bytes of head.
func (c *Conn) drop(n int) {
	c.head.TrimFront(n)
	if c.head.Size() == 0 {
		c.head.Release()
		c.head = nil
	}
}

// unlessClosed is err, unless it comes from closing the connection here.
func (c *Conn) unlessClosed(err error) error {
	if err != nil && c.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	c.wr.op.Lock()
	defer c.wr.op.Unlock()
	if c.e.quiet(len(b)) && !c.closed.Load() && !c.wr.timedOut() {
		v := buffer.NewViewWithData(b)
		if c.e.past(v) {
			return len(b), nil
		}
		v.Release()
	}
	return c.write(b)
}

// write writes b by TCP. The caller holds wr.op.
func (c *Conn) write(b []byte) (int, error) {
	// Each piece becomes one segment without a copy. They are equal, because a
	// short one at the end would cost as much as a full one.
	pieces := (len(b) + MaxSegment - 1) / MaxSegment
	size := (len(b) + pieces - 1) / max(pieces, 1)
	done := 0
	for {
		if c.closed.Load() {
			return done, net.ErrClosed
		}
		if c.wr.timedOut() {
			return done, os.ErrDeadlineExceeded
		}
		if done == len(b) {
			return done, nil
		}
		c.wr.clear()
		if room, err := c.e.writable(); err != nil {
			return done, err
		} else if !room && !c.mute.Load() {
			c.wr.wait()
			continue
		}
		c.src = source(b[done:min(len(b), done+size)])
		n, err := c.tcp.Write(&c.src, tcpip.WriteOptions{Atomic: true})
		c.src = nil
		done += int(n)
		c.written += uint64(n)
		if err == nil {
			c.e.wrote(int(n))
			continue
		}
		if _, full := err.(*tcpip.ErrWouldBlock); !full {
			return done, c.writeError(err)
		}
		c.wr.wait()
	}
}

// source is a tcpip.Payloader of a slice.
type source []byte

func (s *source) Len() int { return len(*s) }

func (s *source) Read(b []byte) (int, error) {
	n := copy(b, *s)
	*s = (*s)[n:]
	if n == 0 && len(*s) == 0 {
		return 0, io.EOF
	}
	return n, nil
}

var copyBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// WriteTo implements io.WriterTo: it reads until EOF, with pooled buffers. While it
// waits for something to read it has none, so that idle connections cost none. Sockets
// of the kernel, and a [Sink], need none at all.
func (c *Conn) WriteTo(w io.Writer) (written int64, err error) {
	if s, ok := w.(Sink); ok {
		return s.SpliceFrom(c)
	}
	if n, ok, err := c.writeToSocket(w); ok {
		return n, err
	}
	for err == nil {
		var n int
		n, err = c.passOn(w)
		written += int64(n)
	}
	if err == io.EOF {
		err = nil
	}
	return written, err
}

// passOn waits for something to read and writes it to w.
func (c *Conn) passOn(w io.Writer) (int, error) {
	b, n, err := c.readPooled()
	defer copyBuffers.Put(b)
	if n == 0 {
		return 0, err
	}
	done, err := w.Write(b[:n])
	if done < n && err == nil {
		err = io.ErrShortWrite
	}
	return done, err
}

// readPooled is Read into a buffer that the caller puts back.
func (c *Conn) readPooled() (b *[64 << 10]byte, n int, err error) {
	c.rd.op.Lock()
	defer c.rd.op.Unlock()
	for {
		b = copyBuffers.Get().(*[64 << 10]byte)
		n, empty, err := c.readNow(b[:])
		if !empty {
			return b, n, err
		}
		copyBuffers.Put(b)
		c.rd.wait()
	}
}

// ReadFrom implements io.ReaderFrom: it writes until EOF, with a pooled buffer, or
// without any from a [Source].
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if s, ok := r.(Source); ok {
		return c.splice(s)
	}
	b := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(b)
	return io.CopyBuffer(onlyWriter{c}, r, b[:])
}

// onlyWriter keeps io.CopyBuffer from another way to copy.
type onlyWriter struct{ io.Writer }

// Close implements net.Conn. What was written is still delivered. If bytes were
// left unread, or more arrive, the connection is reset instead: Link.Abort.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	if c.e.close() && !c.deaf.Load() {
		c.tcp.Abort()
	}
	c.tcp.Close()
	c.rd.stop()
	c.wr.stop()
	c.rd.wake()
	c.rd.op.Lock()
	defer c.rd.op.Unlock()
	if c.head != nil {
		c.drop(c.head.Size())
	}
	return nil
}

// CloseWrite ends the stream the peer reads; reading goes on.
func (c *Conn) CloseWrite() error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	c.mute.Store(true)
	if err := c.tcp.Shutdown(tcpip.ShutdownWrite); err != nil {
		return c.writeError(err)
	}
	return nil
}

// CloseRead drops what is unread and what still arrives; Read returns io.EOF.
// TCP does not know: it would answer data under way with a reset.
func (c *Conn) CloseRead() error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	c.deaf.Store(true)
	c.rd.wake()
	c.e.closeRead()
	c.rd.op.Lock()
	defer c.rd.op.Unlock()
	for c.begin() {
		n := c.head.Size()
		c.drop(n)
		c.e.consumed(n)
	}
	return nil
}

// Abort resets the connection: the Link sees Abort; Read and Write return err.
func (c *Conn) Abort(err error) {
	c.fail(err)
	c.tcp.Abort()
}

// LocalAddr implements net.Conn. The address says nothing: the connection's real
// ends are known to the Link.
func (c *Conn) LocalAddr() net.Addr { return addr{} }

// RemoteAddr implements net.Conn, as LocalAddr.
func (c *Conn) RemoteAddr() net.Addr { return addr{} }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.rd.setDeadline(t)
	c.wr.setDeadline(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.rd.setDeadline(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.wr.setDeadline(t)
	return nil
}

// addr is an address of the netstack inside.
type addr struct{}

func (addr) Network() string { return "netstack" }
func (addr) String() string  { return "netstack" }
