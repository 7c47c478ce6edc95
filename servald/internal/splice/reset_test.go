package splice

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
)

// ends are a client and a server with a joint between them. Hidden is whether the
// joint sees sockets of the kernel or something else.
func ends(t *testing.T, ctx context.Context, hidden bool) (client, server *net.TCPConn, joined <-chan error) {
	client, a := conntest.TCP(t)
	b, server := conntest.TCP(t)
	done := make(chan error, 1)
	var x, y net.Conn = a, b
	if hidden {
		x = resettable{a}
	}
	go func() { _, _, err := Join(ctx, x, y); done <- err }()
	return client, server, done
}

// resettable is a connection that is none of the kernel's, as those of services.
type resettable struct{ c *net.TCPConn }

func (r resettable) Read(b []byte) (int, error)         { return r.c.Read(b) }
func (r resettable) Write(b []byte) (int, error)        { return r.c.Write(b) }
func (r resettable) Close() error                       { return r.c.Close() }
func (r resettable) CloseWrite() error                  { return r.c.CloseWrite() }
func (r resettable) LocalAddr() net.Addr                { return r.c.LocalAddr() }
func (r resettable) RemoteAddr() net.Addr               { return r.c.RemoteAddr() }
func (r resettable) SetDeadline(t time.Time) error      { return r.c.SetDeadline(t) }
func (r resettable) SetReadDeadline(t time.Time) error  { return r.c.SetReadDeadline(t) }
func (r resettable) SetWriteDeadline(t time.Time) error { return r.c.SetWriteDeadline(t) }
func (r resettable) Abort() error                       { r.c.SetLinger(0); return r.c.Close() }

// TestJoinPassesResetsOn: whoever resets, the other end finds its connection reset,
// not ended, after it has had what was sent before.
func TestJoinPassesResetsOn(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		for _, fromServer := range []bool{false, true} {
			client, server, joined := ends(t, t.Context(), hidden)
			from, to := client, server
			if fromServer {
				from, to = server, client
			}
			io.WriteString(from, "last words")
			got := make([]byte, 10)
			if _, err := io.ReadFull(to, got); err != nil {
				t.Fatal(err)
			}
			from.SetLinger(0)
			from.Close()
			to.SetReadDeadline(time.Now().Add(20 * time.Second))
			if n, err := to.Read(got); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("hidden %v, from the server %v: read %d bytes, %v", hidden, fromServer, n, err)
			}
			if err := <-joined; !IsReset(err) {
				t.Errorf("the joint ended with %v", err)
			}
		}
	}
}

// vanishing is a connection to a service that falls silent.
type vanishing struct {
	resettable
	gone chan struct{}
}

func (v vanishing) Read(b []byte) (int, error) {
	<-v.gone
	return 0, &serval.OpError{Op: "read", Service: "svc:web", Err: serval.ErrTimeout}
}

// TestSilenceIsAReset: whose service is given up finds that its connection is reset: what
// came before is not all.
func TestSilenceIsAReset(t *testing.T) {
	client, a := conntest.TCP(t)
	b, _ := conntest.TCP(t)
	v := vanishing{resettable{b}, make(chan struct{})}
	joined := make(chan error, 1)
	go func() { _, _, err := Join(t.Context(), a, v); joined <- err }()
	close(v.gone)
	client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if err := <-joined; !errors.Is(err, serval.ErrTimeout) {
		t.Errorf("the joint ended with %v", err)
	}
}

// TestAnswerBeforeReset: a server that answers early and resets, because it has not
// read all of the request, is heard.
func TestAnswerBeforeReset(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		client, server, joined := ends(t, t.Context(), hidden)
		go client.Write(random(8 << 20))
		if _, err := io.ReadFull(server, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		io.WriteString(server, "too much")
		server.Close() // with unread input: a reset
		got := make([]byte, 8)
		client.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := io.ReadFull(client, got); err != nil || string(got) != "too much" {
			t.Errorf("hidden %v: read %q, %v", hidden, got[:n], err)
		}
		if err := <-joined; err == nil {
			t.Error("the joint has no error")
		}
	}
}

// TestCutIsAReset: what is ended before its time does not look whole.
func TestCutIsAReset(t *testing.T) {
	ctx, cut := context.WithCancelCause(t.Context())
	client, server, joined := ends(t, ctx, true)
	io.WriteString(server, "half an ans")
	if _, err := io.ReadFull(client, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	cut(ErrCut)
	for _, c := range []net.Conn{client, server} {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read of what was cut: %v", err)
		}
	}
	if err := <-joined; !errors.Is(err, ErrCut) {
		t.Errorf("the joint ended with %v", err)
	}
}

func TestProxyResetsWhatItCannotConnect(t *testing.T) {
	client, conn := conntest.TCP(t)
	broken := errors.New("no server")
	err := Connect(t.Context(), conn, func(context.Context) (net.Conn, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %v", err)
	}
}

// counted is a connection that says how far it is.
type counted struct {
	net.Conn
	progress func() uint64
}

// TestProxyEndsWhatIsIdle: connections on which something goes on stay.
func TestProxyEndsWhatIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ln := &late{closed: make(chan struct{}), conn: make(chan net.Conn, 2)}
		_, idle := conntest.Pipe()
		_, busy := conntest.Pipe()
		ln.conn <- counted{idle, func() uint64 { return 7 }}
		ln.conn <- counted{busy, func() uint64 { return uint64(time.Since(begin)) }}
		var ended []time.Duration
		p := &Proxy{Log: quiet(), MaxConns: 2, Idle: 10 * time.Second, Drain: time.Hour,
			Progress: func(c net.Conn) uint64 { return c.(counted).progress() },
			Handle: func(ctx context.Context, c net.Conn) error {
				<-ctx.Done()
				ended = append(ended, time.Since(begin).Round(time.Second))
				return c.Close()
			}}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Serve(ctx, &once{Listener: ln}); err != nil {
			t.Fatal(err)
		}
		if len(ended) != 2 || ended[0] > 15*time.Second || ended[1] < time.Hour {
			t.Errorf("connections ended after %v", ended)
		}
	})
}

// TestProxySetMax: room that is added is used at once.
func TestProxySetMax(t *testing.T) {
	ln := conntest.Listen(t)
	entered, release := make(chan struct{}, 8), make(chan struct{})
	p := &Proxy{Log: quiet(), MaxConns: 1, Handle: func(ctx context.Context, c net.Conn) error {
		entered <- struct{}{}
		<-release
		return c.Close()
	}}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, ln) }()
	for range 3 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	<-entered
	if load := p.Load(); load != 1 {
		t.Errorf("the load is %v", load)
	}
	p.SetMax(3)
	<-entered
	<-entered
	close(release)
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
