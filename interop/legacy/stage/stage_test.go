//go:build linux

package stage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// open builds a stage for the time of a test.
func open(t *testing.T) (*stage.Stage, context.Context) {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts a cluster of processes, for some seconds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s, err := stage.New(ctx)
	if errors.Is(err, lab.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, ctx
}

// echo is a server that says what it hears. It prints when connections open and
// close.
func echo(t *testing.T, h *fleet.Host, at string) *fleet.Process {
	t.Helper()
	host, port, _ := strings.Cut(at, ":")
	p, err := h.Start("echo", "/usr/bin/python3", "-c", `
import socket, sys, threading
ln = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
def serve(c):
    print("opened", flush=True)
    try:
        while b := c.recv(4096): c.sendall(b)
    except OSError: pass
    print("closed", flush=True)
    c.close()
while True: threading.Thread(target=serve, args=ln.accept()[:1]).start()
`, host, port)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Expect(t.Context(), "^ready"); err != nil {
		t.Fatal(err)
	}
	return p
}

// offered starts an echo on the server's host and offers it as svc:echo, and returns
// both processes.
func offered(t *testing.T, ctx context.Context, s *stage.Stage) (server, instance *fleet.Process) {
	t.Helper()
	server = echo(t, s.Server, "127.0.0.1:7")
	return server, offer(t, ctx, s, "127.0.0.1:7")
}

// offer offers a server as svc:echo.
func offer(t *testing.T, ctx context.Context, s *stage.Stage, to string) *fleet.Process {
	t.Helper()
	p, err := s.Offer(ctx, "svc:echo", to)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// forwards leads a port of the client's host there, and returns its address.
func forwards(t *testing.T, ctx context.Context, s *stage.Stage) string {
	t.Helper()
	at, err := s.Forwards(ctx, true, false, "svc:echo")
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// talk exchanges so many lines with an echo over one connection, ten in a second, and
// tells how that ended.
func talk(h *fleet.Host, at string, lines int) <-chan error {
	done := make(chan error, 1)
	host, port, _ := strings.Cut(at, ":")
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
		defer cancel()
		out, err := stage.Run(ctx, h, nil, "/bin/bash", "-c",
			"exec 3<>/dev/tcp/$1/$2 || exit 1; for i in $(seq $3); do echo $i >&3 || exit 2; read -t 30 line <&3 || exit 3; [ $line = $i ] || exit 4; sleep 0.1; done; echo all",
			"bash", host, port, fmt.Sprint(lines))
		if err == nil && out != "all" {
			err = errors.New(out)
		}
		done <- err
	}()
	return done
}

// breaks checks that a connection ends with an error, and soon.
func breaks(t *testing.T, talk <-chan error) {
	t.Helper()
	select {
	case err := <-talk:
		if err == nil {
			t.Error("the connection outlived its end")
		}
	case <-time.After(20 * time.Second):
		t.Error("the client still waits")
	}
}

// says checks that there is an echo.
func says(t *testing.T, h *fleet.Host, at string, lines int) {
	t.Helper()
	if err := <-talk(h, at, lines); err != nil {
		t.Error(err)
	}
}

// TestConnectionsSurviveCuts: with both paths cut in turn, nobody at the ends notices.
func TestConnectionsSurviveCuts(t *testing.T) {
	s, ctx := open(t)
	server, _ := offered(t, ctx, s)
	done := talk(s.Client, forwards(t, ctx, s), 40)
	if _, err := server.Expect(ctx, "^opened"); err != nil {
		t.Fatal(err)
	}
	if err := s.Cut(ctx, 700*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestOwnEtc: what a host's programs do to /etc stays there.
func TestOwnEtc(t *testing.T) {
	s, ctx := open(t)
	if _, err := stage.Run(ctx, s.Client, nil, "/bin/sh", "-c", "echo nameserver 198.18.0.1 > /etc/new && mv /etc/new /etc/stage-test.conf && cat /etc/stage-test.conf"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/etc/stage-test.conf"); !os.IsNotExist(err) {
		t.Errorf("the machine has it too: %v", err)
	}
	if _, err := stage.Run(ctx, s.Server, nil, "/bin/cat", "/etc/stage-test.conf"); err == nil {
		t.Error("the other host has it too")
	}
}
