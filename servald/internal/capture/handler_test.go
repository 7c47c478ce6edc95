package capture

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/nodetest"
	"github.com/serval-net/serval/servald/internal/tun"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

// handler answers with what it was asked for.
type handler struct{}

// Stream implements tun.Handler: port 1 is refused, others say where they are.
func (handler) Stream(_ context.Context, src, dst netip.AddrPort) (net.Conn, error) {
	if dst.Port() == 1 {
		return nil, syscall.ECONNREFUSED
	}
	a, b := net.Pipe()
	go func() {
		defer b.Close()
		fmt.Fprintf(b, "%v\n", dst)
		io.Copy(b, b)
	}()
	return a, nil
}

// Datagrams implements tun.Handler: answers come from the next port.
func (handler) Datagrams(_ context.Context, src, dst netip.AddrPort) (tun.Datagrams, error) {
	return &echoes{dst: dst.Addr(), answers: make(chan answer, 16), closed: make(chan struct{})}, nil
}

// Ping implements tun.Handler.
func (handler) Ping(context.Context, netip.Addr) error { return nil }

type answer struct {
	text string
	port uint16
}

type echoes struct {
	dst     netip.Addr
	answers chan answer
	closed  chan struct{}
}

func (e *echoes) WriteTo(b []byte, port uint16) (int, error) {
	e.answers <- answer{fmt.Sprintf("%v %s", netip.AddrPortFrom(e.dst, port), b), port + 1}
	return len(b), nil
}

func (e *echoes) ReadFrom(b []byte) (int, uint16, error) {
	select {
	case a := <-e.answers:
		return copy(b, a.text), a.port, nil
	case <-e.closed:
		return 0, 0, net.ErrClosed
	}
}

func (e *echoes) SetReadDeadline(time.Time) error { return nil }

func (e *echoes) Close() error {
	select {
	case <-e.closed:
	default:
		close(e.closed)
	}
	return nil
}
