package serval

import (
	"errors"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// TestDeadProcess: a peer that dies without a word is noticed by a reader that
// has nothing to send, because its host says that the port is closed.
func TestDeadProcess(t *testing.T) {
	c := newCluster(t)
	server := startNode(t, Config{Identity: c.join(t, "server")})
	l, err := server.Listen("svc:fragile")
	if err != nil {
		t.Fatal(err)
	}
	client := startNode(t, Config{Identity: c.join(t, "client"), Resolver: resolver.NewStatic(
		resolver.Instance{Service: sal.MustParseName("svc:fragile"), Addrs: server.sockets.addrs()})})
	conn, err := client.Dial("svc:fragile")
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte{1})
	peer, err := l.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	peer.Write([]byte{2})
	buf := make([]byte, 1)
	if _, err := conn.Read(buf); err != nil {
		t.Fatal(err)
	}
	server.sockets.close() // as SIGKILL would: nothing is said
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Read(buf); !errors.Is(err, ErrReset) {
		t.Fatalf("read from a dead peer: %v, want ErrReset", err)
	}
	began := time.Now()
	if _, err := client.Dial("svc:fragile"); !errors.Is(err, ErrRefused) {
		t.Fatalf("dial to a closed port: %v, want ErrRefused", err)
	}
	t.Logf("the dial failed after %v", time.Since(began))
}
