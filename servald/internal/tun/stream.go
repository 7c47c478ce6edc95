package tun

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// stream is a program's TCP connection. One goroutine reads it and one writes it.
type stream struct {
	tcp   tcpip.Endpoint
	queue waiter.Queue
	entry waiter.Entry

	readable, writable gate

	once    sync.Once // closes tcp
	aborted atomic.Bool
}

func newStream() *stream {
	st := &stream{}
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

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// fault translates what TCP returned.
func (st *stream) fault(err tcpip.Error) error {
	switch err.(type) {
	case *tcpip.ErrClosedForReceive:
		if st.aborted.Load() {
			return net.ErrClosed
		}
		return io.EOF
	case *tcpip.ErrClosedForSend, *tcpip.ErrAborted, *tcpip.ErrInvalidEndpointState:
		if st.aborted.Load() {
			return net.ErrClosed
		}
		return syscall.EPIPE
	case *tcpip.ErrConnectionReset, *tcpip.ErrConnectionAborted:
		return errReset
	case *tcpip.ErrTimeout:
		return syscall.ETIMEDOUT
	}
	return errors.New(err.String())
}

// Read reads what has come, or waits for it.
func (st *stream) Read(b []byte) (int, error) {
	for {
		n, err := st.tryRead(b)
		if n > 0 || err != nil {
			return n, err
		}
		st.readable.wait()
	}
}

// tryRead reads what has come: 0 if there is nothing. Then readable will be woken.
func (st *stream) tryRead(b []byte) (int, error) {
	st.readable.clear()
	w := tcpip.SliceWriter(b)
	res, err := st.tcp.Read(&w, tcpip.ReadOptions{})
	if err == nil {
		return res.Count, nil
	}
	if _, empty := err.(*tcpip.ErrWouldBlock); empty {
		return 0, nil
	}
	return 0, st.fault(err)
}

// source is a tcpip.Payloader of a slice.
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
	done := 0
	for done < len(b) {
		st.writable.clear()
		p := payload(b[done:])
		n, err := st.tcp.Write(&p, tcpip.WriteOptions{})
		done += int(n)
		if err == nil {
			continue
		}
		if _, full := err.(*tcpip.ErrWouldBlock); !full {
			return done, st.fault(err)
		}
		st.writable.wait()
	}
	return done, nil
}

// CloseWrite lets the program read to the end.
func (st *stream) CloseWrite() error {
	if err := st.tcp.Shutdown(tcpip.ShutdownWrite); err != nil {
		return st.fault(err)
	}
	return nil
}

// Close ends the connection; what was written is still sent.
func (st *stream) Close() error {
	st.once.Do(st.tcp.Close)
	return nil
}

// abort resets the connection.
func (st *stream) abort() {
	st.aborted.Store(true)
	st.tcp.Abort()
	st.readable.wake()
	st.writable.wake()
}
