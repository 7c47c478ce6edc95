// Package splice joins byte streams: two connections, a connection and the standard
// streams, a connection and a command, and a listener and a way to dial.
//
// A half that ends cleanly is half-closed on the other side, so that protocols which
// shut down one direction and read the other to its end work across the splice.
package splice

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// linger is how long one direction may go on after the other has failed: long
// enough to pass on an answer that was already under way.
const linger = 2 * time.Second

// bufferSize is what one read takes at most: enough that system calls do not count.
const bufferSize = 128 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Join copies between a and b until both directions have ended, then closes both.
// It returns the bytes that went each way and the first failure; it ends early with
// the cause of ctx when that is done.
//
// A reset of one is passed on to the other by [Abort], after what had come before it,
// and so is that it can no longer be reached, or that this process is killed.
func Join(ctx context.Context, a, b net.Conn) (aToB, bToA int64, err error) {
	j := joint{a: a, b: b}
	linger0(a)
	linger0(b)
	defer j.close()
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrCut) {
			j.cut.Store(true)
		}
		j.close()
	})
	defer stop()

	var wg sync.WaitGroup
	wg.Go(func() { aToB = j.pump(b, a) })
	bToA = j.pump(a, b)
	wg.Wait()
	if j.timer != nil {
		j.timer.Stop()
	}
	j.resets.Wait()
	if ctx.Err() != nil {
		return aToB, bToA, context.Cause(ctx)
	}
	return aToB, bToA, j.err
}

// linger0 has the kernel reset a socket whose process is killed, since what was passed on
// then need not be all; whoever closes it in order takes that back.
func linger0(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
}

// joint is two connections that are joined.
type joint struct {
	a, b net.Conn
	cut  atomic.Bool // what is closed from now on is reset

	fail   sync.Once
	err    error
	timer  *time.Timer
	resets sync.WaitGroup
}

func (j *joint) close() {
	for _, c := range []net.Conn{j.a, j.b} {
		if j.cut.Load() {
			Abort(c)
			continue
		}
		if t, ok := c.(*net.TCPConn); ok {
			t.SetLinger(-1)
		}
		c.Close()
	}
}

// pump copies one direction, and sees to the end of both if it fails.
func (j *joint) pump(dst, src net.Conn) int64 {
	n, err := Copy(dst, src)
	if err == nil {
		err = CloseWrite(dst)
	}
	if err == nil {
		return n
	}
	j.fail.Do(func() {
		j.err = err
		switch {
		case !IsReset(err) && !isLost(err):
			j.timer = time.AfterFunc(linger, j.close)
		case isRead(err): // src is gone altogether
			j.resets.Go(func() { abortDelivered(dst); src.Close() })
		default: // dst is, but may have answered
			j.cut.Store(true)
			j.timer = time.AfterFunc(linger, j.close)
		}
	})
	return n
}

// Copy copies src to dst until EOF. Kernel sockets splice between themselves. Where
// one side is a socket of the kernel, or src has a WriteTo, no buffer is held while
// there is nothing to copy; see netstack.Source for how to do with one copy.
func Copy(dst io.Writer, src io.Reader) (int64, error) {
	if isKernel(src) {
		if isKernel(dst) {
			return io.Copy(dst, src)
		}
		if r, ok := dst.(io.ReaderFrom); ok {
			if s, ok := newSource(src.(net.Conn)); ok {
				return r.ReadFrom(s)
			}
		}
		return copyKernel(dst, src.(net.Conn))
	}
	if w, ok := src.(io.WriterTo); ok {
		return w.WriteTo(dst)
	}
	if r, ok := dst.(io.ReaderFrom); ok && !isKernel(dst) {
		return r.ReadFrom(src)
	}
	return copyPooled(dst, src)
}

// copyPooled copies with a large buffer.
func copyPooled(dst io.Writer, src io.Reader) (int64, error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, buf[:])
}

func isKernel(v any) bool {
	switch v.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// CloseWrite ends c's sending direction, or all of c when it has no halves. A
// connection that is gone already is not an error.
func CloseWrite(c net.Conn) error {
	var err error
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		err = h.CloseWrite()
	} else {
		err = c.Close()
	}
	if errors.Is(err, net.ErrClosed) || isNotConnected(err) {
		return nil
	}
	return err
}
