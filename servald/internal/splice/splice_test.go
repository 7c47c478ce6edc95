package splice

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestJoinPassesBothDirectionsAndHalfClose(t *testing.T) {
	client, a := conntest.TCP(t)
	b, server := conntest.TCP(t)
	joined := make(chan error, 1)
	go func() {
		up, down, err := Join(t.Context(), a, b)
		if err == nil && (up != 1<<20 || down != 1<<19) {
			err = errors.New("wrong byte counts")
		}
		joined <- err
	}()
	request, answer := random(1<<20), random(1<<19)
	go func() {
		client.Write(request)
		client.CloseWrite()
	}()
	// The server answers only once it has seen the end of the request.
	got, err := io.ReadAll(server)
	if err != nil || !bytes.Equal(got, request) {
		t.Fatalf("server read %d bytes, %v", len(got), err)
	}
	go func() {
		server.Write(answer)
		server.Close()
	}()
	got, err = io.ReadAll(client)
	if err != nil || !bytes.Equal(got, answer) {
		t.Fatalf("client read %d bytes, %v", len(got), err)
	}
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
}

// A side that fails ends the other after a while, even when that one is silent.
func TestJoinEndsWhenOneSideFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a := conntest.Pipe()
		b, server := conntest.Pipe()
		defer client.Close()
		go func() {
			server.Write([]byte("x"))
			server.Close() // a's reader is not there: the write to b fails
		}()
		go func() {
			client.Read(make([]byte, 1))
			client.Write([]byte("too late"))
		}()
		if _, _, err := Join(t.Context(), a, b); err == nil {
			t.Error("no error from a join whose side failed")
		}
	})
}

func TestJoinEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, a := conntest.TCP(t)
	b, _ := conntest.TCP(t)
	done := make(chan error, 1)
	go func() { _, _, err := Join(ctx, a, b); done <- err }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("Join returned %v", err)
	}
}

// plain hides everything of a connection but net.Conn.
type plain struct{ net.Conn }

func TestCopyWithoutFastPaths(t *testing.T) {
	client, a := conntest.TCP(t)
	want := random(3 << 20)
	go func() { client.Write(want); client.Close() }()
	var out bytes.Buffer
	if n, err := Copy(struct{ io.Writer }{&out}, plain{a}); err != nil || n != 3<<20 {
		t.Fatalf("copied %d, %v", n, err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Error("copy differs")
	}
}

func TestStdio(t *testing.T) {
	conn, server := conntest.TCP(t)
	go func() {
		b, _ := io.ReadAll(server)
		server.Write(bytes.ToUpper(b))
		server.Close()
	}()
	var out bytes.Buffer
	if err := Stdio(t.Context(), conn, strings.NewReader("hello"), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != "HELLO" {
		t.Errorf("got %q", out.String())
	}
}

func TestStdioEndsWithThePeerThoughInputIsOpen(t *testing.T) {
	conn, server := conntest.TCP(t)
	in, _ := io.Pipe()
	go func() { server.Write([]byte("bye")); server.Close() }()
	var out bytes.Buffer
	if err := Stdio(t.Context(), conn, in, &out); err != nil || out.String() != "bye" {
		t.Fatalf("got %q, %v", out.String(), err)
	}
	in.Close()
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestProxyServesAndDrains(t *testing.T) {
	backend := conntest.Listen(t)
	go func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	ln := conntest.Listen(t)
	p := &Proxy{Log: quiet(), Drain: time.Minute, Handle: func(ctx context.Context, conn net.Conn) error {
		return Connect(ctx, conn, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", backend.Addr().String())
		})
	}}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, ln) }()

	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo := func(text string) {
		t.Helper()
		io.WriteString(c, text)
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
			t.Fatalf("echo of %q is %q, %v", text, got, err)
		}
	}
	echo("before")
	cancel()
	echo("draining") // an open connection goes on
	c.Close()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if p.Active() != 0 || p.Total() != 1 {
		t.Errorf("active %d, total %d", p.Active(), p.Total())
	}
}

func TestProxyBoundsConnections(t *testing.T) {
	ln := conntest.Listen(t)
	entered := make(chan struct{}, 8)
	release := make(chan struct{})
	p := &Proxy{Log: quiet(), MaxConns: 2, Handle: func(ctx context.Context, c net.Conn) error {
		defer c.Close()
		entered <- struct{}{}
		<-release
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, ln) }()
	for range 4 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	<-entered
	<-entered
	if n := p.Active(); n != 2 {
		t.Errorf("%d connections at once, want 2", n)
	}
	close(release)
	<-entered
	<-entered
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

func TestProxyReportsABrokenListener(t *testing.T) {
	ln := conntest.Listen(t)
	ln.Close()
	p := &Proxy{Log: quiet(), Handle: func(context.Context, net.Conn) error { return nil }}
	if err := p.Serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
}

// late is a listener to which a connection comes just before it is closed.
type late struct {
	net.Listener
	closed chan struct{}
	conn   chan net.Conn
}

func (l *late) Close() error { close(l.closed); return nil }

func (l *late) Accept() (net.Conn, error) {
	<-l.closed
	select {
	case c := <-l.conn:
		return c, nil
	default:
		return nil, net.ErrClosed
	}
}

func TestProxyServesWhatCameBeforeTheEnd(t *testing.T) {
	for range 20 { // whichever way the end and the connection race
		client, server := conntest.Pipe()
		ln := &late{closed: make(chan struct{}), conn: make(chan net.Conn, 1)}
		ln.conn <- server
		p := &Proxy{Log: quiet(), Drain: time.Minute, Handle: func(_ context.Context, c net.Conn) error {
			_, err := io.WriteString(c, "served")
			return errors.Join(err, c.Close())
		}}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- p.Serve(ctx, &once{Listener: ln}) }()
		cancel()
		if got, err := io.ReadAll(client); string(got) != "served" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
	}
}

// once closes a listener only the first time.
type once struct {
	net.Listener
	sync.Once
}

func (o *once) Close() (err error) {
	o.Do(func() { err = o.Listener.Close() })
	return err
}

// TestProxyEndsWhatIsQuiet: after the drain time, who is in the middle of something
// gets a moment to finish it.
func TestProxyEndsWhatIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &late{closed: make(chan struct{}), conn: make(chan net.Conn, 3)}
		quietAfter := make(map[net.Conn]time.Duration)
		for _, after := range []time.Duration{0, time.Second, time.Hour} {
			_, server := conntest.Pipe()
			quietAfter[server] = 10*time.Second + after
			ln.conn <- server
		}
		begin := time.Now()
		var mu sync.Mutex
		var ended []time.Duration
		p := &Proxy{Log: quiet(), Drain: 10 * time.Second,
			Quiet: func(c net.Conn) bool { return time.Since(begin) >= quietAfter[c] },
			Handle: func(ctx context.Context, c net.Conn) error {
				<-ctx.Done()
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, time.Since(begin).Truncate(100*time.Millisecond))
				return c.Close()
			}}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Serve(ctx, &once{Listener: ln}); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{10 * time.Second, 11 * time.Second, 12 * time.Second}; !slices.Equal(ended, want) {
			t.Errorf("connections ended after %v, want %v", ended, want)
		}
	})
}
