package transfer

import (
	"bytes"
	"context"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// tree writes files, given as path and content, below a new directory.
func tree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	found := make(map[string][]byte)
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found[p], err = os.ReadFile(filepath.Join(dir, p))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

type result struct {
	sum Summary
	err error
}

// transfer runs both sides over TCP, the sender having dialled.
func transfer(t *testing.T, list *List, dir string, opt ReceiveOptions) (sent, received result) {
	t.Helper()
	a, b := conntest.TCP(t)
	done := make(chan result, 1)
	go func() {
		sum, err := Receive(t.Context(), b, dir, opt)
		done <- result{sum, err}
	}()
	sent.sum, sent.err = Send(t.Context(), a, list, Options{Dialed: true})
	return sent, <-done
}

func scan(t *testing.T, paths ...string) *List {
	t.Helper()
	l, err := Scan(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFilesAndDirectories(t *testing.T) {
	big := make([]byte, 3<<20+17)
	rand.NewChaCha8([32]byte{}).Read(big)
	src := tree(t, map[string][]byte{"d/a.txt": []byte("a"), "d/sub/big": big, "d/empty": nil, "single": []byte("s")})
	os.Mkdir(filepath.Join(src, "d", "nothing"), 0o700)
	when := time.Unix(1600000000, 0)
	os.Chtimes(filepath.Join(src, "single"), when, when)
	list := scan(t, filepath.Join(src, "d"), filepath.Join(src, "single"))

	for _, receiverDials := range []bool{false, true} {
		dst := t.TempDir()
		a, b := conntest.TCP(t)
		done := make(chan result, 1)
		go func() {
			sum, err := Receive(t.Context(), b, dst, ReceiveOptions{Options: Options{Dialed: receiverDials}})
			done <- result{sum, err}
		}()
		sum, err := Send(t.Context(), a, list, Options{Dialed: !receiverDials})
		if err != nil {
			t.Fatal(err)
		}
		got := <-done
		if got.err != nil || got.sum != sum || sum != (Summary{Files: 4, Dirs: 3, Bytes: int64(len(big)) + 2}) {
			t.Fatalf("sent %+v, received %+v", sum, got)
		}
		want, have := contents(t, src), contents(t, dst)
		if len(have) != len(want) {
			t.Errorf("%d files arrived of %d", len(have), len(want))
		}
		for name := range want {
			if !bytes.Equal(have[name], want[name]) {
				t.Errorf("%s differs", name)
			}
		}
		info, err := os.Stat(filepath.Join(dst, "single"))
		if err != nil || info.Mode().Perm() != 0o640 || !info.ModTime().Equal(when) {
			t.Errorf("single arrived as %v %v, %v", info.Mode(), info.ModTime(), err)
		}
		if info, err := os.Stat(filepath.Join(dst, "d", "nothing")); err != nil || !info.IsDir() {
			t.Errorf("the empty directory did not arrive: %v", err)
		}
	}
}

func TestExistingFilesStayUnlessToldOtherwise(t *testing.T) {
	src := tree(t, map[string][]byte{"f": []byte("new")})
	dst := tree(t, map[string][]byte{"f": []byte("old")})
	list := scan(t, filepath.Join(src, "f"))
	sent, received := transfer(t, list, dst, ReceiveOptions{})
	if sent.err == nil || !strings.Contains(sent.err.Error(), "exists already") || received.err == nil {
		t.Errorf("sender: %v, receiver: %v", sent.err, received.err)
	}
	if got := contents(t, dst)["f"]; string(got) != "old" {
		t.Errorf("file became %q", got)
	}
	if sent, _ := transfer(t, list, dst, ReceiveOptions{Overwrite: true}); sent.err != nil {
		t.Fatal(sent.err)
	}
	if got := contents(t, dst)["f"]; string(got) != "new" {
		t.Errorf("file is %q", got)
	}
}

// The sender of much data learns why the receiver gave up in the middle.
func TestReceiverLimit(t *testing.T) {
	src := tree(t, map[string][]byte{"d/1": make([]byte, 1<<20), "d/2": make([]byte, 32<<20)})
	dst := t.TempDir()
	sent, received := transfer(t, scan(t, filepath.Join(src, "d")), dst, ReceiveOptions{MaxBytes: 2 << 20})
	if sent.err == nil || !strings.Contains(sent.err.Error(), "accepts at most") {
		t.Errorf("sender: %v", sent.err)
	}
	if received.err == nil || received.sum.Files != 1 || len(contents(t, dst)) != 1 {
		t.Errorf("receiver: %+v", received)
	}
}

func TestBothSidesOfOneRole(t *testing.T) {
	list := scan(t, filepath.Join(tree(t, map[string][]byte{"f": nil}), "f"))
	a, b := conntest.TCP(t)
	done := make(chan error, 1)
	go func() { _, err := Send(t.Context(), b, list, Options{}); done <- err }()
	_, err := Send(t.Context(), a, list, Options{Dialed: true})
	for _, err := range []error{err, <-done} {
		if err == nil || !strings.Contains(err.Error(), "both sides want to send") {
			t.Errorf("got %v", err)
		}
	}
}

func TestContextEndsATransfer(t *testing.T) {
	dst := t.TempDir()
	a, b := conntest.TCP(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := Receive(ctx, b, dst, ReceiveOptions{}); done <- err }()
	p := &peer{t, a}
	p.hello()
	p.message(entry{Path: "f", Size: 100})
	p.write([]byte("part"))
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if left := contents(t, dst); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestScan(t *testing.T) {
	src := tree(t, map[string][]byte{"d/f": []byte("12"), "e/f": nil})
	if _, err := Scan(filepath.Join(src, "none")); err == nil {
		t.Error("a missing file was listed")
	}
	if _, err := Scan(filepath.Join(src, "d", "f"), filepath.Join(src, "e", "f")); err == nil || !strings.Contains(err.Error(), "one by one") {
		t.Errorf("two files of one name: %v", err)
	}
	if err := os.Symlink("f", filepath.Join(src, "d", "link")); err != nil {
		t.Skip("no symbolic links here")
	}
	l := scan(t, filepath.Join(src, "d"), filepath.Join(src, "d", "link"))
	if len(l.Skipped) != 1 || l.Bytes != 4 || len(l.items) != 3 {
		t.Errorf("listed %+v", l)
	}
}

func TestFileThatShrinks(t *testing.T) {
	src := tree(t, map[string][]byte{"f": make([]byte, 1000)})
	list := scan(t, filepath.Join(src, "f"))
	os.Truncate(filepath.Join(src, "f"), 10)
	dst := t.TempDir()
	sent, received := transfer(t, list, dst, ReceiveOptions{})
	if sent.err == nil || !strings.Contains(sent.err.Error(), "shorter") || received.err == nil {
		t.Errorf("sender: %v, receiver: %v", sent.err, received.err)
	}
	if left := contents(t, dst); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// peer is a sender driven by hand.
type peer struct {
	t    *testing.T
	conn net.Conn
}

func (p *peer) hello() {
	p.message(hello{Protocol: protocol, Version: version, Role: sending})
	var h hello
	if err := readMessage(p.conn, &h); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) message(v any) {
	if err := writeMessage(p.conn, v); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) write(b []byte) {
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
}
