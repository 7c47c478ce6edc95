//go:build unix

package splice

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"testing"

	"github.com/serval-net/serval/servald/internal/conntest"
)

func TestCommandOnAConnection(t *testing.T) {
	client, server := conntest.TCP(t)
	done := make(chan error, 1)
	go func() { done <- Command(t.Context(), server, exec.Command("tr", "a-z", "A-Z")) }()
	io.WriteString(client, "hello")
	client.CloseWrite()
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "HELLO" {
		t.Fatalf("read %q, %v", got, err)
	}
	client.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A command that does not read its input still gets its whole answer through.
func TestCommandThatIgnoresItsInput(t *testing.T) {
	client, server := conntest.TCP(t)
	done := make(chan error, 1)
	go func() { done <- Command(t.Context(), server, exec.Command("echo", "no")) }()
	go func() { client.Write(random(1 << 20)); client.CloseWrite() }()
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "no\n" {
		t.Fatalf("read %q, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestCommandEndsWithItsConnection(t *testing.T) {
	client, server := conntest.TCP(t)
	done := make(chan error, 1)
	go func() { done <- Command(t.Context(), server, exec.Command("sh", "-c", "echo; exec sleep 1000")) }()
	client.Read(make([]byte, 1))
	client.SetLinger(0)
	client.Close() // a reset
	if err := <-done; err == nil {
		t.Error("no error from a command that was interrupted")
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	client, server := conntest.TCP(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Command(ctx, server, exec.Command("sh", "-c", "echo; exec sleep 1000")) }()
	client.Read(make([]byte, 1))
	cancel()
	client.Close()
	if err := <-done; err == nil {
		t.Error("no error from a command that was interrupted")
	}
}

func TestCommandThatDoesNotExist(t *testing.T) {
	_, server := conntest.TCP(t)
	err := Command(t.Context(), server, exec.Command("no-such-program-here"))
	if !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
