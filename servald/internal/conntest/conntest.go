// Package conntest makes pairs of connections for tests: in memory, so that they
// work on the virtual time of testing/synctest, or over TCP on loopback.
package conntest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Conn is one end of a pair made by [Pipe]: unbuffered, with half-close.
type Conn struct {
	net.Conn // of a net.Pipe: deadlines and addresses; its Close also wakes both sides
	r        *io.PipeReader
	w        *io.PipeWriter
	once     sync.Once
}

// Pipe returns two connected ends.
func Pipe() (*Conn, *Conn) {
	a, b := net.Pipe()
	ar, bw := io.Pipe()
	br, aw := io.Pipe()
	return &Conn{Conn: a, r: ar, w: aw}, &Conn{Conn: b, r: br, w: bw}
}

// Read reads what the other end wrote.
func (c *Conn) Read(b []byte) (int, error) { return c.r.Read(b) }

// Write returns when the other end has read all of b.
func (c *Conn) Write(b []byte) (int, error) { return c.w.Write(b) }

// CloseWrite lets the other end read EOF.
func (c *Conn) CloseWrite() error { return c.w.Close() }

// Close ends both directions; the other end's writes fail.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.w.Close()
		c.r.CloseWithError(errors.New("connection closed by the other end"))
		c.Conn.Close()
	})
	return nil
}

// SetDeadline does what net.Conn says only for a moment that has passed: it aborts.
func (c *Conn) SetDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		c.Close()
	}
	return nil
}

// SetReadDeadline is SetDeadline.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }

// SetWriteDeadline is SetDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }

// TCP returns a connected pair on loopback, closed when the test ends.
func TCP(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	ln := Listen(t)
	dialed, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// Listen returns a TCP listener on loopback, closed when the test ends.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// Serve runs a server on loopback until the test ends, when it must end without an
// error, and returns its address.
func Serve(t testing.TB, serve func(context.Context, net.Listener) error) (addr string) {
	t.Helper()
	ln := Listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// Echo sends back what comes on each connection, until the listener is closed.
func Echo(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() { io.Copy(c, c); c.Close() }()
	}
}

// EchoPackets sends back each datagram, until the socket is closed.
func EchoPackets(c net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		c.WriteTo(buf[:n], from)
	}
}

// Dial returns a connection to a server, closed when the test ends. What takes longer
// than 20 s on it fails.
func Dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn.(*net.TCPConn)
}
