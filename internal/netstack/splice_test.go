package netstack

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
)

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{2}).Read(b)
	return b
}

// A Conn copies from another with its own way, in pieces of all sizes and to the end.
func TestSpliceFromSource(t *testing.T) {
	s := newStack(t)
	a, b := pipe(t, s, s, window)
	c, d := pipe(t, s, s, window)
	copied := make(chan error, 1)
	want := noise(5<<20 + 12345)
	go func() {
		n, err := c.Conn().ReadFrom(b.Conn())
		if err == nil && n != int64(len(want)) {
			err = errors.New("wrong count")
		}
		c.Conn().CloseWrite()
		copied <- err
	}()
	go func() {
		for left, size := want, 1; len(left) > 0; size = size*3 + 1 {
			n := min(size%300_000, len(left))
			a.Conn().Write(left[:n])
			left = left[n:]
		}
		a.Conn().CloseWrite()
	}()
	got, err := io.ReadAll(d.Conn())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d of %d bytes, %v", len(got), len(want), err)
	}
	if err := <-copied; err != nil {
		t.Error(err)
	}
}

func TestSpliceSaysWhichSideFailed(t *testing.T) {
	s := newStack(t)
	a, b := pipe(t, s, s, window)
	c, _ := pipe(t, s, s, window)
	go a.Conn().Abort(errTest)
	if _, err := c.Conn().ReadFrom(b.Conn()); !errors.Is(err, errPeerReset) {
		t.Errorf("after a reset of the source: %v", err)
	}
	_, b = pipe(t, s, s, window)
	c.Conn().Close()
	go b.Conn().SetReadDeadline(time.Now())
	if _, err := c.Conn().ReadFrom(b.Conn()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline of the source: %v", err)
	}
}

var errTest = errors.New("aborted by the test")

func TestBuffered(t *testing.T) {
	s := newStack(t)
	a, b := pipe(t, s, s, window)
	a.Conn().Write(make([]byte, 1000))
	if n, err := b.Conn().Buffered(); n != 1000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	b.Conn().Read(make([]byte, 600))
	if n, err := b.Conn().Buffered(); n != 400 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	b.Conn().Read(make([]byte, 600))
	a.Conn().CloseWrite()
	if n, err := b.Conn().Buffered(); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d bytes, %v", n, err)
	}
}

// sockets returns the ends of a connection of the kernel.
func sockets(t *testing.T, network string) (net.Conn, net.Conn) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Skip(err)
	}
	defer ln.Close()
	a, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// What goes to a socket that is read slowly arrives in order and once.
func TestWriteToSocket(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			s := newStack(t)
			a, b := pipe(t, s, s, window)
			socket, far := sockets(t, network)
			want := noise(6<<20 + 77)
			go func() {
				a.Conn().Write(want)
				a.Conn().CloseWrite()
			}()
			copied := make(chan error, 1)
			go func() {
				n, err := b.Conn().WriteTo(socket)
				if err == nil && n != int64(len(want)) {
					err = errors.New("wrong count")
				}
				socket.Close()
				copied <- err
			}()
			var got []byte
			for buf := make([]byte, 100_000); ; {
				n, err := far.Read(buf)
				got = append(got, buf[:n]...)
				if err != nil {
					break
				}
				if len(got)%7 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d of %d bytes arrived", len(got), len(want))
			}
			if err := <-copied; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWriteToSocketThatFails(t *testing.T) {
	s := newStack(t)
	a, b := pipe(t, s, s, window)
	defer b.Conn().Close()
	socket, far := sockets(t, "tcp")
	far.(*net.TCPConn).SetLinger(0)
	far.Close()
	go a.Conn().Write(noise(1 << 20))
	_, err := b.Conn().WriteTo(socket)
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "write" {
		t.Errorf("got %v, want the error of a write", err)
	}
}

// What comes while a socket reads, and nothing waits for it, is in the socket when
// Deliver returns; else it waits its turn.
func TestPassThrough(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			e, r := open(t)
			socket, far := sockets(t, network)
			copied := make(chan int64)
			go func() {
				n, err := e.Conn().WriteTo(socket)
				if err != nil {
					t.Error(err)
				}
				socket.Close()
				copied <- n
			}()
			eventually(t, "the socket reads", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.rx.pass != nil })
			hello := []byte("hello")
			if n := e.Deliver(buffer.NewViewWithData(hello)); n != len(hello) {
				t.Errorf("%d bytes were passed through", n)
			}
			got := make([]byte, len(hello))
			if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, hello) {
				t.Errorf("read %q, %v", got, err)
			}

			// More than the socket holds, in pieces that are passed through and others.
			want := noise(8 << 20)
			passed := len(hello)
			for i, size := 0, 1; i < len(want); i, size = i+size, size*3%40_000+1 {
				size = min(size, len(want)-i)
				passed += e.Deliver(buffer.NewViewWithData(want[i : i+size]))
			}
			e.DeliverFIN()
			all, err := io.ReadAll(far)
			if err != nil || !bytes.Equal(all, want) {
				t.Errorf("%d of %d bytes arrived, %v", len(all), len(want), err)
			}
			n := <-copied
			if total := len(hello) + len(want); n != int64(total) || passed+r.read != total {
				t.Errorf("copied %d bytes, %d passed through and %d read, of %d", n, passed, r.read, total)
			}
		})
	}
}

func TestPassThroughThatFails(t *testing.T) {
	e, _ := open(t)
	defer e.Conn().Close()
	socket, far := sockets(t, "tcp")
	failed := make(chan error)
	go func() {
		_, err := e.Conn().WriteTo(socket)
		failed <- err
	}()
	eventually(t, "the socket reads", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.rx.pass != nil })
	far.(*net.TCPConn).SetLinger(0)
	far.Close()
	// The reset may take a moment to get here.
	eventually(t, "a write fails", func() bool { return e.Deliver(buffer.NewViewWithData([]byte("hello"))) == 0 })
	var op *net.OpError
	if err := <-failed; !errors.As(err, &op) || op.Op != "write" {
		t.Errorf("got %v, want the error of a write", err)
	}
}
