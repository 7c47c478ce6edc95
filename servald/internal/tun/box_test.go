package tun

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// box is a Datagrams that answers each datagram to port 69 from port 3000, as tftp
// does, refuses those to port 9, and echoes others.
type box struct {
	answers chan packet
	end     chan struct{}
	once    sync.Once
	closed  func()
}

type packet struct {
	b    []byte
	port uint16
}

func newBox(closed func()) *box {
	return &box{answers: make(chan packet, 16), end: make(chan struct{}), closed: closed}
}

func (x *box) WriteTo(b []byte, port uint16) (int, error) {
	switch port {
	case 9:
		return 0, syscall.ECONNREFUSED
	case 69:
		port = 3000
	}
	x.answers <- packet{append([]byte(nil), b...), port}
	return len(b), nil
}

func (x *box) ReadFrom(b []byte) (int, uint16, error) {
	select {
	case p := <-x.answers:
		return copy(b, p.b), p.port, nil
	case <-x.end:
		return 0, 0, net.ErrClosed
	}
}

func (x *box) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

func (x *box) Close() error {
	x.once.Do(func() {
		close(x.end)
		x.closed()
	})
	return nil
}

func boxes() (fake, chan netip.AddrPort, *sync.WaitGroup) {
	opened, open := make(chan netip.AddrPort, 64), new(sync.WaitGroup)
	return fake{datagrams: func(_ context.Context, src, dst netip.AddrPort) (Datagrams, error) {
		if dst.Port() == 7 {
			return nil, errors.New("no such service")
		}
		open.Add(1)
		opened <- src
		return newBox(open.Done), nil
	}}, opened, open
}
