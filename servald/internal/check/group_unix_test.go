//go:build unix

package check

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestStoppedCommandLeavesNothing: checks come again and again; what one that
// takes too long has started must not pile up.
func TestStoppedCommandLeavesNothing(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Parse("cmd:sleep 60 > "+pipe+" & wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- p.Check(ctx) }()
	child, err := os.Open(pipe) // waits until the child has opened its end
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("a command that was stopped: %v", err)
	}
	gone := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, child); gone <- err }()
	select {
	case err := <-gone:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("its child lives on")
	}
}
