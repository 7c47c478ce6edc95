package daemon

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
)

// run is a daemon that can be stopped before the test ends.
func run(t *testing.T, cfg Config) (Status, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan Status, 1), make(chan error, 1)
	go func() { done <- Run(ctx, cfg, func(s Status) { ready <- s }) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	select {
	case err := <-done:
		cancel()
		t.Fatal(err)
		return Status{}, nil
	case s := <-ready:
		t.Cleanup(stop)
		return s, stop
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
	echo := func(conn *serval.Conn) {
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
	echo(conn)
	for range 2 {
		stop()
		echo(conn)
		_, stop = run(t, cfg)
		echo(conn)
		// A program that was not there before finds the other.
		late := program(t, cfg)
		echo(dial(late))
		echo(dial(client))
	}
}
