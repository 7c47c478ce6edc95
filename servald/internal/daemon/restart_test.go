package daemon

import (
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
)

// echoes checks that a connection leads to an echo.
func echoes(t *testing.T, conn *serval.Conn) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, 5)
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
}

// TestRestart: programs with a data plane of their own do not notice that servald is
// started again: their connections go on meanwhile, and who was registered is found
// as soon as there is a servald, long before registrations are renewed.
func TestRestart(t *testing.T) {
	cfg := newConfig(t, newToken(t))
	status, stop := run(t, cfg)
	cfg.Gossip = netip.MustParseAddrPort(status.Gossip)
	server, client := program(t, cfg), program(t, cfg)
	ln, err := server.Listen("svc:echo")
	if err != nil {
		t.Fatal(err)
	}
	go conntest.Echo(ln)
	dial := func(from *serval.Node) *serval.Conn {
		t.Helper()
		conn, err := from.Dial("svc:echo")
		for end := time.Now().Add(resolver.DefaultTTL / 6); errors.Is(err, serval.ErrNoService) && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
			conn, err = from.Dial("svc:echo")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	conn := dial(client)
	echoes(t, conn)
	for range 2 {
		stop()
		echoes(t, conn)
		_, stop = run(t, cfg)
		echoes(t, conn)
		// A program that was not there before finds the other.
		late := program(t, cfg)
		echoes(t, dial(late))
		echoes(t, dial(client))
	}
}
