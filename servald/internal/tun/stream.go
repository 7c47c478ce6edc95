package tun

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/serval-net/serval/internal/netstack"
)

// stream is a program's TCP connection. One goroutine reads it and one writes it.
type stream struct {
	tcp   tcpip.Endpoint
	queue waiter.Queue
	entry waiter.Entry

	readable, writable gate

	mss           int // bytes that one packet takes, whatever the IP version
	local, remote net.Addr
	closed        atomic.Bool
}

var _ net.Conn = (*stream)(nil)

func newStream(id stack.TransportEndpointID, mtu int) *stream {
	st := &stream{
		mss:    mtu - header.IPv6MinimumSize - header.TCPMinimumSize - header.TCPOptionTSLength - 2,
		local:  net.TCPAddrFromAddrPort(destination(id)),
		remote: net.TCPAddrFromAddrPort(source(id)),
	}
	st.readable.init()
	st.writable.init()
	st.entry.Init(st, waiter.ReadableEvents|waiter.WritableEvents|waiter.EventHUp|waiter.EventErr)
	st.queue.EventRegister(&st.entry)
	return st
}

// NotifyEvent implements waiter.EventListener.
func (st *stream) NotifyEvent(mask waiter.EventMask) {
	const end = waiter.EventHUp | waiter.EventErr
	if mask&(waiter.ReadableEvents|end) != 0 {
		st.readable.wake()
	}
	if mask&(waiter.WritableEvents|end) != 0 {
		st.writable.wake()
	}
}

// gate lets one goroutine wait for an event.
type gate struct{ c chan struct{} }

func (g *gate) init() { g.c = make(chan struct{}, 1) }

// clear forgets past events: call it before looking, and wait only after.
func (g *gate) clear() {
	select {
	case <-g.c:
	default:
	}
}

func (g *gate) wake() {
	select {
	case g.c <- struct{}{}:
	default:
	}
}

func (g *gate) wait() { <-g.c }

// fault translates what TCP returned to op.
func (st *stream) fault(op string, err tcpip.Error) error {
	var cause error
	switch err.(type) {
	case *tcpip.ErrClosedForReceive:
		if !st.closed.Load() {
			return io.EOF
		}
		cause = net.ErrClosed
	case *tcpip.ErrConnectionReset, *tcpip.ErrConnectionAborted:
		cause = syscall.ECONNRESET
	case *tcpip.ErrNotConnected:
		cause = syscall.ENOTCONN
	case *tcpip.ErrTimeout:
		cause = syscall.ETIMEDOUT
	case *tcpip.ErrClosedForSend, *tcpip.ErrAborted, *tcpip.ErrInvalidEndpointState:
		cause = syscall.EPIPE
	default:
		cause = errors.New(err.String())
	}
	if st.closed.Load() {
		cause = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: "tcp", Source: st.local, Addr: st.remote, Err: cause}
}

// Read reads what has come, or waits for it.
func (st *stream) Read(b []byte) (int, error) {
	for {
		st.readable.clear()
		w := tcpip.SliceWriter(b)
		res, err := st.tcp.Read(&w, tcpip.ReadOptions{})
		if err == nil {
			return res.Count, nil
		}
		if _, empty := err.(*tcpip.ErrWouldBlock); !empty {
			return 0, st.fault("read", err)
		}
		st.readable.wait()
	}
}

// payload is a tcpip.Payloader of a slice.
type payload []byte

func (p *payload) Len() int { return len(*p) }

func (p *payload) Read(b []byte) (int, error) {
	n := copy(b, *p)
	*p = (*p)[n:]
	if n == 0 && len(*p) == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Write returns when TCP has taken all of b.
func (st *stream) Write(b []byte) (int, error) {
	done, size := 0, netstack.Piece(len(b), st.mss)
	for done < len(b) {
		st.writable.clear()
		p := payload(b[done:min(len(b), done+size)])
		n, err := st.tcp.Write(&p, tcpip.WriteOptions{})
		done += int(n)
		if err == nil {
			continue
		}
		if _, full := err.(*tcpip.ErrWouldBlock); !full {
			return done, st.fault("write", err)
		}
		st.writable.wait()
	}
	return done, nil
}

// CloseWrite lets the program read to the end.
func (st *stream) CloseWrite() error {
	if err := st.tcp.Shutdown(tcpip.ShutdownWrite); err != nil {
		return st.fault("close", err)
	}
	return nil
}

// Close ends the connection; what was written is still sent. If the program sent more
// than was read, or sends more, it is told by a reset.
func (st *stream) Close() error { return st.finish(false) }

// Abort ends the connection by a reset.
func (st *stream) Abort() error { return st.finish(true) }

func (st *stream) finish(reset bool) error {
	if st.closed.Swap(true) {
		return net.ErrClosed
	}
	if reset {
		st.tcp.Abort()
	}
	st.tcp.Close()
	st.readable.wake()
	st.writable.wake()
	return nil
}

// resize lets TCP hold size bytes in each direction.
func (st *stream) resize(size int) {
	st.tcp.SocketOptions().SetReceiveBufferSize(int64(2*size), true)
	st.tcp.SocketOptions().SetSendBufferSize(int64(size), true)
}

// orphanTime is how long a program may take to read what was sent before Close.
const orphanTime = time.Minute

// delivered waits until the program has what was sent before Close, and resets the
// connection if that takes too long.
func (st *stream) delivered(ctx context.Context) {
	for pause, end := 5*time.Millisecond, time.Now().Add(orphanTime); ; pause *= 2 {
		switch tcp.EndpointState(st.tcp.State()) {
		case tcp.StateEstablished, tcp.StateFinWait1, tcp.StateCloseWait, tcp.StateLastAck, tcp.StateClosing:
		default:
			return
		}
		if ctx.Err() != nil || time.Now().After(end) {
			st.tcp.Abort()
			return
		}
		timer := time.NewTimer(min(pause, time.Second))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// LocalAddr returns the address that the program connected to.
func (st *stream) LocalAddr() net.Addr { return st.local }

// RemoteAddr returns the program's address.
func (st *stream) RemoteAddr() net.Addr { return st.remote }

// Deadlines are not there: nobody sets any.

// SetDeadline returns os.ErrNoDeadline.
func (st *stream) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline returns os.ErrNoDeadline.
func (st *stream) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline returns os.ErrNoDeadline.
func (st *stream) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// WriteTo implements io.WriterTo. It holds no buffer while there is nothing to read, and
// needs none if w copies from a netstack.Source by itself.
func (st *stream) WriteTo(w io.Writer) (written int64, err error) {
	switch w := w.(type) {
	case *net.TCPConn, *net.UnixConn: // they would call us
	case io.ReaderFrom:
		return w.ReadFrom(st)
	}
	for {
		_, err := st.Buffered()
		n := 0
		if err == nil {
			n, err = st.passOn(w)
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

// passOn writes to w what has come.
func (st *stream) passOn(w io.Writer) (int, error) {
	buf := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buf)
	n, err := st.Read(buf[:])
	if err != nil {
		return 0, err
	}
	return w.Write(buf[:n])
}

// Buffered implements netstack.Source.
func (st *stream) Buffered() (int, error) {
	for {
		st.readable.clear()
		n, err := readable(st.tcp)
		if n > 0 {
			return n, nil
		}
		if _, empty := err.(*tcpip.ErrWouldBlock); !empty {
			return 0, st.fault("read", err)
		}
		st.readable.wait()
	}
}

// readable returns how many bytes a TCP endpoint has to read, or the error that reading
// would return: ErrWouldBlock if there are none yet.
func readable(ep tcpip.Endpoint) (int, tcpip.Error) {
	for {
		if n, err := ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption); err == nil && n > 0 {
			return n, nil
		}
		_, err := ep.Read(full{}, tcpip.ReadOptions{Peek: true})
		if _, something := err.(*tcpip.ErrBadBuffer); !something && err != nil {
			return 0, err
		}
		// Something has come meanwhile.
	}
}

// full is a writer that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// SpliceFrom implements netstack.Sink.
func (st *stream) SpliceFrom(src netstack.Source) (written int64, err error) {
	for {
		n, err := src.Buffered()
		if err == nil {
			n, err = st.pull(src, netstack.Piece(n, st.mss))
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

// pull sends up to n bytes that src has.
func (st *stream) pull(src netstack.Source, n int) (int, error) {
	for {
		st.writable.clear()
		p := netstack.Pull{Source: src, N: n}
		done, err := st.tcp.Write(&p, tcpip.WriteOptions{})
		switch err.(type) {
		case nil:
			return int(done), nil
		case *tcpip.ErrWouldBlock:
			st.writable.wait()
			continue
		}
		if p.Err != nil {
			return 0, p.Err
		}
		return 0, st.fault("write", err)
	}
}
