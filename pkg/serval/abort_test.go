package serval

import (
	"errors"
	"io"
	"testing"
	"time"
)

// TestAbort: the peer has what had arrived, and then an error instead of an end.
func TestAbort(t *testing.T) {
	t.Parallel()
	near, far := newLab(t).pair()
	_, err := near.Write([]byte("last words"))
	must(t, err)
	eventually(t, "it arrived", func() bool { return near.Stats().Queued == 0 })
	must(t, near.Abort())
	got, err := io.ReadAll(far)
	if string(got) != "last words" || !errors.Is(err, ErrReset) {
		t.Errorf("read %q, %v", got, err)
	}
	eventually(t, "writes fail", func() bool { _, err := far.Write([]byte("x")); return errors.Is(err, ErrReset) })
	if _, err := near.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a read of what was aborted: %v", err)
	}
}

// TestListenNetwork: a listener takes streams, datagrams or both, and datagram
// connections come to Accept like others.
func TestListenNetwork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server, client := l.node(1), l.node(2)
	for network, takes := range map[string]map[string]bool{
		"":        {"tcp": true},
		"tcp":     {"tcp": true},
		"udp":     {"udp": true},
		"tcp+udp": {"tcp": true, "udp": true},
	} {
		service := "svc:n/" + map[string]string{"": "none", "tcp": "tcp", "udp": "udp", "tcp+udp": "both"}[network]
		lc := ListenConfig{Node: server, Network: network}
		ln, err := lc.Listen(t.Context(), service)
		must(t, err)
		for _, kind := range []string{"tcp", "udp"} {
			near, err := client.DialConn(t.Context(), kind, service)
			if takes[kind] != (err == nil) {
				t.Errorf("a listener on %q is dialled with %q: %v", network, kind, err)
			}
			if err != nil {
				sentence(t, err, ErrNoService, service)
				continue
			}
			near.SetDeadline(time.Now().Add(20 * time.Second))
			_, err = near.Write([]byte("hello"))
			must(t, err)
			far, err := ln.AcceptConn()
			must(t, err)
			if far.Datagrams() != (kind == "udp") {
				t.Errorf("%q on %q comes as datagrams: %v", kind, network, far.Datagrams())
			}
			far.SetDeadline(time.Now().Add(20 * time.Second))
			buf := make([]byte, 10)
			n, err := far.Read(buf)
			must(t, err)
			if kind == "udp" { // and likewise
				_, err = near.Write([]byte("hello"))
				must(t, err)
				b, port, err := far.ReadMessage()
				must(t, err)
				n = copy(buf, b)
				if port != 0 {
					t.Errorf("port %d of a connection without", port)
				}
			}
			_, err = far.Write(buf[:n])
			must(t, err)
			if n, err = near.Read(buf); err != nil || string(buf[:n]) != "hello" {
				t.Errorf("the echo is %q, %v", buf[:n], err)
			}
			near.Close()
			if n, err := far.Read(buf); err == nil {
				t.Errorf("read %q after the end", buf[:n])
			}
			far.Close()
		}
		must(t, ln.Close())
	}
	lc := ListenConfig{Node: server, Network: "sctp"}
	if _, err := lc.Listen(t.Context(), "svc:x"); err == nil {
		t.Error("a network that is none is taken")
	}
}

// TestReadBufferOfDatagrams: what is not read takes no more memory than was said.
func TestReadBufferOfDatagrams(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server, client := l.node(1), l.node(2)
	lc := ListenConfig{Node: server, Network: "udp"}
	ln, err := lc.Listen(t.Context(), "svc:u")
	must(t, err)
	near, err := client.DialConn(t.Context(), "udp", "svc:u")
	must(t, err)
	_, err = near.Write(nil)
	must(t, err)
	far, err := ln.AcceptConn()
	must(t, err)
	must(t, far.SetReadBuffer(1))
	msg := make([]byte, 1000)
	eventually(t, "something is dropped", func() bool {
		near.Write(msg)
		return server.Stats().Overflow > 0
	})
	in := far.link.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.bytes > 300<<10 {
		t.Errorf("%d bytes wait", in.bytes)
	}
}
