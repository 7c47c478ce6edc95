package tun

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// dial connects to a port behind the device.
func dial(t testing.TB, addr string, port int) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", net.JoinHostPort(addr, fmt.Sprint(port)), 10*time.Second)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// dialSmall is dial with a small buffer to read from. It has that from the start: gVisor
// never sends again what the kernel dropped and is larger than a window that shrank.
func dialSmall(t testing.TB, addr string, port int) *net.TCPConn {
	t.Helper()
	d := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10); err != nil {
				t.Error(err)
			}
		})
	}}
	c, err := d.Dial("tcp", net.JoinHostPort(addr, fmt.Sprint(port)))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// kernel makes streams that lead to the other ends of connections of the kernel.
func kernel(t testing.TB) (h fake, servers chan *net.TCPConn) {
	servers = make(chan *net.TCPConn, 16)
	h.stream = func(context.Context, netip.AddrPort, netip.AddrPort) (net.Conn, error) {
		ours, server := conntest.TCP(t)
		server.SetDeadline(time.Now().Add(20 * time.Second))
		servers <- server
		return ours, nil
	}
	return h, servers
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never came true: ", what)
		}
	}
}

func TestStreamsWithHalfClose(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, servers := kernel(t)
	s := start(t, h, Config{})
	for _, addr := range []string{someone, someone6} {
		client := dial(t, addr, 80)
		server := <-servers
		request, answer := random(5<<20), random(3<<20)
		go func() {
			client.Write(request)
			client.CloseWrite()
		}()
		got, err := io.ReadAll(server)
		if err != nil || !bytes.Equal(got, request) {
			t.Fatalf("%s: the server read %d bytes, %v", addr, len(got), err)
		}
		go func() {
			server.Write(answer)
			server.Close()
		}()
		got, err = io.ReadAll(client)
		if err != nil || !bytes.Equal(got, answer) {
			t.Fatalf("%s: the client read %d bytes, %v", addr, len(got), err)
		}
	}
	eventually(t, "no stream is left", func() bool { return s.Stats().Streams == 0 })
	if n := s.Stats().StreamsEver; n != 2 {
		t.Errorf("%d streams were counted", n)
	}
}

func TestStreamIsToldWhoAsksForWhat(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	asked := make(chan [2]netip.AddrPort, 1)
	start(t, fake{stream: func(_ context.Context, src, dst netip.AddrPort) (net.Conn, error) {
		asked <- [2]netip.AddrPort{src, dst}
		return nil, syscall.ECONNREFUSED
	}}, Config{})
	for _, addr := range []string{someone, someone6} {
		net.Dial("tcp", net.JoinHostPort(addr, "4711"))
		got := <-asked
		if got[1] != netip.AddrPortFrom(netip.MustParseAddr(addr), 4711) || got[0].Port() == 0 {
			t.Errorf("asked for %v", got)
		}
	}
}

func TestRefusedAndUnreachable(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := start(t, fake{stream: func(_ context.Context, _, dst netip.AddrPort) (net.Conn, error) {
		switch dst.Port() {
		case 1:
			return nil, errors.New("no")
		case 2:
			return nil, fmt.Errorf("%w: gone", ErrUnreachable)
		}
		return nil, context.DeadlineExceeded
	}}, Config{})
	for port, want := range map[int]error{1: syscall.ECONNREFUSED, 2: syscall.EHOSTUNREACH, 3: syscall.EHOSTUNREACH} {
		for _, addr := range []string{someone, someone6} {
			begin := time.Now()
			_, err := net.Dial("tcp", net.JoinHostPort(addr, fmt.Sprint(port)))
			if !errors.Is(err, want) {
				t.Errorf("%s port %d: %v", addr, port, err)
			}
			if time.Since(begin) > 10*time.Second {
				t.Errorf("%s port %d: told after %v", addr, port, time.Since(begin))
			}
		}
	}
	if got := s.Stats(); got.Refused != 2 || got.Unreachable != 4 {
		t.Errorf("counted %+v", got)
	}
	eventually(t, "none is opening", func() bool { return s.Stats().Opening == 0 })
}

func TestResetsArePassedOn(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, servers := kernel(t)
	s := start(t, h, Config{})

	client := dial(t, someone, 80)
	server := <-servers
	server.SetLinger(0)
	server.Close()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client read %v after the server's reset", err)
	}

	client = dial(t, someone, 80)
	server = <-servers
	client.SetLinger(0)
	client.Close()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server read %v after the client's reset", err)
	}
	eventually(t, "no stream is left", func() bool { return s.Stats().Streams == 0 })
}

// A program that ends while its connection is being opened leaves nothing behind.
func TestClientThatDoesNotWait(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	asked, open := make(chan struct{}), make(chan struct{})
	var closed atomic.Bool
	s := start(t, fake{stream: func(ctx context.Context, _, _ netip.AddrPort) (net.Conn, error) {
		close(asked)
		<-open
		ours, server := conntest.TCP(t)
		go func() {
			server.Read(make([]byte, 1))
			closed.Store(true)
		}()
		return ours, nil
	}}, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	var d net.Dialer
	if _, err := d.DialContext(ctx, "tcp", someone+":80"); !errors.Is(err, context.Canceled) {
		t.Fatalf("dial: %v", err)
	}
	close(open)
	eventually(t, "the other side is closed", closed.Load)
	eventually(t, "nothing is left", func() bool { st := s.Stats(); return st.Opening == 0 && st.Streams == 0 })
}

func TestMaxStreams(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, servers := kernel(t)
	s := start(t, h, Config{MaxStreams: 2})
	one := dial(t, someone, 80)
	dial(t, someone, 80)
	if _, err := net.Dial("tcp", someone+":80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the third connection: %v", err)
	}
	one.Close()
	(<-servers).Close()
	eventually(t, "there is room for another", func() bool {
		c, err := net.Dial("tcp", someone+":80")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	eventually(t, "it was no more than two", func() bool { return s.Stats().Streams <= 2 })
}

// What waits for one silent service does not keep others from being reached.
func TestMaxOpening(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, _ := kernel(t)
	toKernel, silent := h.stream, make(chan struct{})
	h.stream = func(ctx context.Context, src, dst netip.AddrPort) (net.Conn, error) {
		if dst.Addr() == netip.MustParseAddr("198.18.0.8") {
			select {
			case <-ctx.Done():
			case <-silent:
			}
			return nil, ErrUnreachable
		}
		return toKernel(ctx, src, dst)
	}
	s := start(t, h, Config{MaxOpening: 8})
	ctx, cancel := context.WithCancel(t.Context())
	var dials sync.WaitGroup
	defer dials.Wait()
	defer cancel()
	for range 20 {
		dials.Go(func() {
			var d net.Dialer
			d.DialContext(ctx, "tcp", "198.18.0.8:80")
		})
	}
	eventually(t, "some are opening", func() bool { return s.Stats().Opening == 2 })
	dial(t, someone, 80)
	eventually(t, "only those are", func() bool { return s.Stats().Opening == 2 })
	close(silent)
}

// A program that does not read holds back who sends to it, at the size of the buffers.
func TestSlowReader(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	near, far := net.Pipe()
	var sent atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 16<<10)
		for {
			n, err := far.Write(b)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	start(t, fake{stream: func(context.Context, netip.AddrPort, netip.AddrPort) (net.Conn, error) { return near, nil }}, Config{MaxBuffer: 256 << 10})
	client := dial(t, someone, 80)
	client.SetReadBuffer(64 << 10)
	last := int64(-1)
	eventually(t, "the sender is held back", func() bool {
		time.Sleep(200 * time.Millisecond)
		now := sent.Load()
		stands := now == last
		last = now
		return stands
	})
	// The program's own socket holds up to 6 MiB.
	if last > 8<<20 {
		t.Errorf("%d bytes were taken for a program that does not read", last)
	}
	client.SetLinger(0)
	client.Close()
	<-ended
}

func TestRunEndsWithStreamsOpen(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	var client *net.TCPConn
	t.Run("run", func(t *testing.T) {
		h, _ := kernel(t)
		start(t, h, Config{})
		c, err := net.Dial("tcp", someone+":80")
		must(t, err)
		client = c.(*net.TCPConn)
	})
	// A connection that is cut does not seem to have come to its end.
	client.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %v from a connection that was cut", err)
	}
	client.Close()
}

// A program that takes its time gets all that was sent before the other end closed, while
// Run drains.
func TestWhatWasSentArrives(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	want := random(8 << 20)
	var client *net.TCPConn
	got := make(chan []byte, 1)
	h, servers := kernel(t)
	outer := t
	t.Run("run", func(t *testing.T) {
		s := start(t, h, Config{Drain: 10 * time.Second})
		client = dialSmall(outer, someone, 80)
		server := <-servers
		go func() {
			server.Write(want)
			server.Close()
		}()
		go func() {
			var all []byte
			b := make([]byte, 1<<20)
			for {
				n, err := client.Read(b)
				all = append(all, b[:n]...)
				if err != nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
			client.Close()
			got <- all
		}()
		eventually(t, "it is open", func() bool { return s.Stats().Streams == 1 })
	})
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("%d of %d bytes arrived", len(b), len(want))
	}
}
