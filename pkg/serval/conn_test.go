package serval

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// pipe returns the two ends of a connection between two nodes.
func pipe(t testing.TB) (c1, c2 *Conn, stop func()) {
	t.Helper()
	n := startNode(t, Config{})
	l, err := n.Listen("svc:pipe")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c1, err = n.Dial("svc:pipe")
	if err != nil {
		t.Fatal(err)
	}
	if c2, err = l.AcceptConn(); err != nil {
		t.Fatal(err)
	}
	return c1, c2, func() {
		c1.Close()
		c2.Close()
		n.Close()
	}
}

func TestNetTest(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		a, b, stop := pipe(t)
		return a, b, stop, nil
	})
}

func TestHalfClose(t *testing.T) {
	a, b, stop := pipe(t)
	defer stop()
	a.Write([]byte("question"))
	a.CloseWrite()
	q, err := io.ReadAll(b)
	if err != nil || string(q) != "question" {
		t.Fatalf("read %q, %v", q, err)
	}
	b.Write([]byte("answer"))
	b.Close()
	r, err := io.ReadAll(a)
	if err != nil || string(r) != "answer" {
		t.Fatalf("read %q, %v", r, err)
	}
}

func TestCloseWithUnreadDataResets(t *testing.T) {
	a, b, stop := pipe(t)
	defer stop()
	a.Write([]byte("never read"))
	buf := make([]byte, 1)
	if _, err := io.ReadFull(b, buf); err != nil {
		t.Fatal(err)
	}
	b.Close()
	a.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := a.Read(buf); !errors.Is(err, ErrReset) {
		t.Fatalf("read after the peer dropped data: %v, want ErrReset", err)
	}
}

func TestDeadline(t *testing.T) {
	a, _, stop := pipe(t)
	defer stop()
	a.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := a.Read(make([]byte, 1))
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("read past the deadline: %v", err)
	}
	var oe *OpError
	if !errors.As(err, &oe) || oe.Service != "svc:pipe" {
		t.Fatalf("error %v does not name the service", err)
	}
}

func TestHTTP(t *testing.T) {
	n := startNode(t, Config{})
	l, err := n.Listen("svc:web")
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("serval "), 100000)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(body)
	})}
	go srv.Serve(l)
	defer srv.Close()
	hc := &http.Client{Transport: &http.Transport{DialContext: n.DialContext}}
	for range 3 {
		resp, err := hc.Post("http://web.svc.serval/", "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	hc.CloseIdleConnections()
}

type Arith struct{}

func (Arith) Double(in int, out *int) error { *out = 2 * in; return nil }

func TestRPC(t *testing.T) {
	a, b, stop := pipe(t)
	defer stop()
	s := rpc.NewServer()
	s.Register(Arith{})
	go s.ServeConn(b)
	c := rpc.NewClient(a)
	var out int
	if err := c.Call("Arith.Double", 21, &out); err != nil || out != 42 {
		t.Fatalf("got %d, %v", out, err)
	}
	c.Close()
}
