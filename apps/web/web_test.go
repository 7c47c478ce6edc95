package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	ln, err := n.Listen("svc:files")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, dir) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}

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
	dir, want := content(t, 4<<20)
	n := newNode(t)
	start(t, n, dir)
	var got, log bytes.Buffer
	f := &fetcher{dial: n.DialContext, log: &log}
	if err := f.get(t.Context(), &got, "svc:files", "f"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the file differs")
	}
	if !strings.Contains(log.String(), "from svc:files#"+n.ID().Short()) {
		t.Errorf("log %q does not name the instance", log.String())
	}
	if err := f.get(t.Context(), &got, "svc:files", "none"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestRanges(t *testing.T) {
	dir, want := content(t, 1000)
	n := newNode(t)
	start(t, n, dir)
	client := &http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://files.svc.serval/f", nil)
	req.Header.Set("Range", "bytes=10-19")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusPartialContent || !bytes.Equal(got, want[10:20]) {
		t.Errorf("%s, %d bytes", resp.Status, len(got))
	}
}

// cut is a connection that fails after some bytes.
type cut struct {
	net.Conn
	left int
}

func (c *cut) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

func TestGetGoesOnAfterAFailure(t *testing.T) {
	dir, want := content(t, 1<<20)
	n := newNode(t)
	start(t, n, dir)
	dials := 0
	var got, log bytes.Buffer
	f := &fetcher{log: &log, dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := n.DialContext(ctx, network, addr)
		if dials++; dials <= 2 && err == nil {
			conn = &cut{conn, 300_000}
		}
		return conn, err
	}}
	if err := f.get(t.Context(), &got, "svc:files", "/f"); err != nil {
		t.Fatal(err)
	}
	if dials != 3 || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes after %d dials", got.Len(), dials)
	}
	if !strings.Contains(log.String(), "going on from svc:files#") {
		t.Errorf("log is %q", log.String())
	}
}

func TestGetRefusesAMixtureOfVersions(t *testing.T) {
	dir, _ := content(t, 1<<20)
	n := newNode(t)
	start(t, n, dir)
	var got, log bytes.Buffer
	dials := 0
	f := &fetcher{log: &log, dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials++; dials == 2 {
			later := time.Now().Add(time.Hour)
			os.Chtimes(filepath.Join(dir, "f"), later, later)
		}
		conn, err := n.DialContext(ctx, network, addr)
		return &cut{conn, 300_000}, err
	}}
	if err := f.get(t.Context(), &got, "svc:files", "f"); err == nil || !strings.Contains(err.Error(), "different versions") {
		t.Errorf("got %v", err)
	}
}
