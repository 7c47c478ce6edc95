package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-net/serval/pkg/serval"
)

// newNode returns a node in a cluster of its own, on loopback.
func newNode(t *testing.T) *serval.Node {
	t.Helper()
	n, err := serval.NewNode(serval.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// start serves dir as svc:files until the test ends.
func start(t *testing.T, n *serval.Node, dir string) {
	t.Helper()
	pc, err := n.ListenPacket("svc:files")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, pc, dir) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// content makes a directory with a file f of random bytes.
func content(t *testing.T, size int) (dir string, b []byte) {
	t.Helper()
	b = make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(b)
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, b
}

func TestGet(t *testing.T) {
	dir, want := content(t, 8<<20)
	n := newNode(t)
	start(t, n, dir)
	var got, log bytes.Buffer
	if err := get(t.Context(), n, &got, &log, "svc:files", "f"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the file differs")
	}
	if want := "HTTP/3.0 from svc:files#" + n.ID().Short(); !strings.Contains(log.String(), want) {
		t.Errorf("log %q lacks %q", log.String(), want)
	}
	t.Log(log.String())
	if err := get(t.Context(), n, &got, &log, "svc:files", "none"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a missing file: %v", err)
	}
}
