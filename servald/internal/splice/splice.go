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
// the context's error when ctx is done.
func Join(ctx context.Context, a, b net.Conn) (aToB, bToA int64, err error) {
	closeBoth := func() { a.Close(); b.Close() }
	defer closeBoth()
	stop := context.AfterFunc(ctx, closeBoth)
	defer stop()

	var timer *time.Timer
	var fail sync.Once
	pump := func(dst, src net.Conn) int64 {
		n, e := Copy(dst, src)
		if e == nil {
			e = CloseWrite(dst)
		}
		if e != nil {
			fail.Do(func() {
				err = e
				timer = time.AfterFunc(linger, closeBoth)
			})
		}
		return n
	}
	var wg sync.WaitGroup
	wg.Go(func() { aToB = pump(b, a) })
	bToA = pump(a, b)
	wg.Wait()
	if timer != nil {
		timer.Stop()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return aToB, bToA, err
}

// Copy copies src to dst until EOF. Kernel sockets splice between themselves; other
// pairs use dst's ReadFrom or src's WriteTo where it is not a kernel socket's
// generic one, else a large buffer.
func Copy(dst io.Writer, src io.Reader) (int64, error) {
	if isKernel(dst) && isKernel(src) {
		return io.Copy(dst, src)
	}
	if w, ok := src.(io.WriterTo); ok && !isKernel(src) {
		return w.WriteTo(dst)
	}
	if r, ok := dst.(io.ReaderFrom); ok && !isKernel(dst) {
		return r.ReadFrom(src)
	}
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
