package forward

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/nodetest"
	"github.com/serval-net/serval/servald/internal/outbound"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

// serve runs f until the test ends.
func serve(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func server(c *nodetest.Cluster, service string) *Server {
	return &Server{Outbound: outbound.New(outbound.Config{Node: c.Node()}), Service: service,
		Settings: door.Settings{Log: slog.New(slog.DiscardHandler)}}
}

// TestStream: a local address leads to the service; without one, clients are reset.
func TestStream(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	for _, network := range []string{"tcp", "unix"} {
		for _, name := range []string{"svc:echo", "svc:none"} {
			at := "127.0.0.1:0"
			if network == "unix" {
				at = t.TempDir() + "/s"
			}
			ln, err := net.Listen(network, at)
			if err != nil {
				t.Fatal(err)
			}
			s := server(c, name)
			serve(t, func(ctx context.Context) error { return s.Serve(ctx, ln) })
			conn, err := net.Dial(network, ln.Addr().String())
			if name == "svc:none" && errors.Is(err, syscall.ECONNRESET) {
				continue // already
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			_, err = io.WriteString(conn, "hello\n")
			if name == "svc:none" {
				if err == nil {
					_, err = conn.Read(make([]byte, 1))
				}
				if network == "tcp" && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) || err == nil {
					t.Errorf("%s to nothing: %v", network, err)
				}
				continue
			}
			r := bufio.NewReader(conn)
			r.ReadString('\n')
			if line, err := r.ReadString('\n'); line != "hello\n" {
				t.Errorf("%s: %q came back, %v", network, line, err)
			}
		}
	}
}

// TestCut: who is connected when the time to stop is over finds its connection reset, and
// nothing is left.
func TestCut(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	ln := conntest.Listen(t)
	s := server(c, "svc:echo")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	conn := conntest.Dial(t, ln.Addr().String())
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil || s.Active() != 0 {
		t.Errorf("it ended with %v and %d connections", err, s.Active())
	}
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v", err)
	}
}

// TestPackets: each client's datagrams come back to it; what comes from another port of
// the service comes from another port here, and the client can answer it there.
func TestPackets(t *testing.T) {
	c := nodetest.New(t)
	c.EchoPackets("svc:echo")
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	at := socket.LocalAddr().(*net.UDPAddr)
	s := server(c, "svc:echo")
	serve(t, func(ctx context.Context) error { return s.ServePacket(ctx, socket) })
	for range 2 {
		client, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		client.SetDeadline(time.Now().Add(20 * time.Second))
		ask := func(to net.Addr, text string) net.Addr {
			t.Helper()
			if _, err := client.WriteTo([]byte(text), to); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, from, err := client.ReadFrom(buf)
			if err != nil || !strings.HasSuffix(string(buf[:n]), " "+text) {
				t.Fatalf("%q came back for %q, %v", buf[:n], text, err)
			}
			return from
		}
		if from := ask(at, "hello"); from.String() != at.String() {
			t.Errorf("%v answered for %v", from, at)
		}
		next := ask(at, "next")
		if next.String() == at.String() {
			t.Errorf("the next port is %v, too", next)
		}
		if from := ask(next, "hello"); from.String() != next.String() {
			t.Errorf("%v answered for %v", from, next)
		}
		if again := ask(at, "next"); again.String() != next.String() {
			t.Errorf("the next port was %v, then %v", next, again)
		}
	}
}

// TestStrangers: clients at other addresses than are allowed get nothing.
func TestStrangers(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	c.EchoPackets("svc:packets")
	ln := conntest.Listen(t)
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s, p := server(c, "svc:echo"), server(c, "svc:packets")
	s.Clients = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	p.Clients = s.Clients
	serve(t, func(ctx context.Context) error { return s.Serve(ctx, ln) })
	serve(t, func(ctx context.Context) error { return p.ServePacket(ctx, socket) })
	for _, addr := range []net.Addr{ln.Addr(), socket.LocalAddr()} {
		conn, err := net.Dial(addr.Network(), addr.String())
		if err != nil {
			continue // reset at once
		}
		defer conn.Close()
		io.WriteString(conn, "hello")
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 100)); err == nil {
			t.Errorf("%d bytes came back by %s", n, addr.Network())
		}
	}
}
