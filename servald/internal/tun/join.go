package tun

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/serval-net/serval/servald/internal/splice"
)

// linger is how long one direction may go on after the other has failed: long enough
// to pass on an answer that was already under way.
const linger = 2 * time.Second

var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// join copies between st and conn until both directions have ended, then closes both.
// A half that ends is half-closed at the other side; a failure resets it. When ctx is
// done both are reset.
func (st *stream) join(ctx context.Context, conn net.Conn) error {
	var once sync.Once
	var failure error
	var timer *time.Timer
	fail := func(err error) {
		once.Do(func() {
			failure = err
			timer = time.AfterFunc(linger, func() { st.abort(); conn.Close() })
		})
	}
	stop := context.AfterFunc(ctx, func() { st.abort(); conn.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := st.up(conn); err != nil {
			fail(err)
		} else if err := splice.CloseWrite(conn); err != nil {
			fail(err)
		}
	})
	if err := st.down(conn); err != nil {
		fail(err)
	} else if err := st.CloseWrite(); err != nil {
		fail(err)
	}
	wg.Wait()
	if timer != nil {
		timer.Stop()
		st.abort()
	}
	conn.Close()
	st.Close()
	return failure
}

// up copies what the program sends.
func (st *stream) up(conn net.Conn) error {
	for {
		buf := buffers.Get().(*[128 << 10]byte)
		n, err := st.tryRead(buf[:])
		if n > 0 {
			_, err = conn.Write(buf[:n])
		}
		buffers.Put(buf)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			st.readable.wait()
		}
	}
}

// down copies what the program gets.
func (st *stream) down(conn net.Conn) error {
	_, err := splice.Copy(struct{ io.Writer }{st}, conn)
	return err
}
