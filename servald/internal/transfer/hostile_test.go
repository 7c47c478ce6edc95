package transfer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// attack lets a hand-driven sender loose on a receiver and returns the receiver's
// error after what it told the sender.
func attack(t *testing.T, dir string, send func(p *peer)) (told outcome, received error) {
	t.Helper()
	a, b := conntest.TCP(t)
	done := make(chan error, 1)
	go func() { _, err := Receive(t.Context(), b, dir, ReceiveOptions{}); done <- err }()
	p := &peer{t, a}
	p.hello()
	send(p)
	a.CloseWrite()
	readMessage(a, &told)
	return told, <-done
}

func TestPathsThatLeaveTheDirectory(t *testing.T) {
	for _, path := range []string{
		"", ".", "..", "../x", "a/../../x", "a/../b", "/etc/x", "a//b", "./a", "a/", "a\x00b",
		strings.Repeat("a", maxPath+1),
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "in")
		os.Mkdir(dir, 0o755)
		for _, isDir := range []bool{false, true} {
			told, err := attack(t, dir, func(p *peer) { p.message(entry{Path: path, Dir: isDir}) })
			if err == nil || told.Error == "" {
				t.Errorf("path %.20q was accepted: %v", path, err)
			}
		}
		if found, _ := os.ReadDir(parent); len(found) != 1 {
			t.Errorf("path %.20q left %v", path, found)
		}
	}
}

func TestSymbolicLinkOutOfTheDirectory(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Skip("no symbolic links here")
	}
	told, err := attack(t, dir, func(p *peer) { p.message(entry{Path: "link/f", Size: 0}) })
	if err == nil {
		t.Error("wrote through a link")
	}
	if strings.Contains(told.Error, outside) || strings.Contains(told.Error, dir) {
		t.Errorf("the peer was told %q", told.Error)
	}
	if found, _ := os.ReadDir(outside); len(found) != 0 {
		t.Errorf("outside there is %v", found)
	}
}

func TestWrongContent(t *testing.T) {
	dir := t.TempDir()
	told, err := attack(t, dir, func(p *peer) {
		p.message(entry{Path: "f", Size: 3})
		p.write([]byte("abc"))
		p.write(make([]byte, 32))
	})
	if err == nil || !strings.Contains(told.Error, "SHA-256") {
		t.Errorf("got %v, told %q", err, told.Error)
	}
	if left := contents(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStreamThatEndsAnywhere(t *testing.T) {
	for _, send := range []func(p *peer){
		func(p *peer) {},
		func(p *peer) { p.write([]byte{0}) },
		func(p *peer) { p.message(entry{Path: "f", Size: 3}) },
		func(p *peer) { p.message(entry{Path: "f", Size: 3}); p.write([]byte("abcd")) },
	} {
		dir := t.TempDir()
		if _, err := attack(t, dir, send); err == nil || !strings.Contains(err.Error(), "ended the transfer early") {
			t.Errorf("got %v", err)
		}
		if left := contents(t, dir); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestNotATransfer(t *testing.T) {
	a, b := conntest.TCP(t)
	done := make(chan error, 1)
	go func() { _, err := Receive(t.Context(), b, t.TempDir(), ReceiveOptions{}); done <- err }()
	a.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	a.CloseWrite()
	if err := <-done; !errors.Is(err, errForeign) {
		t.Errorf("got %v", err)
	}
}

func TestCallerWithoutATransfer(t *testing.T) {
	a, b := conntest.TCP(t)
	a.Close()
	if _, err := Receive(t.Context(), b, t.TempDir(), ReceiveOptions{}); err != ErrNoHello {
		t.Errorf("got %v", err)
	}
}

// Whatever a sender sends, nothing appears outside the directory, and no entry that
// was accepted has a name that could.
func FuzzReceive(f *testing.F) {
	seed := func(messages ...any) {
		var b bytes.Buffer
		for _, m := range messages {
			if raw, ok := m.([]byte); ok {
				b.Write(raw)
				continue
			}
			text, _ := json.Marshal(m)
			b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(text))))
			b.Write(text)
		}
		f.Add(b.Bytes())
	}
	h := hello{Protocol: protocol, Version: version, Role: sending}
	seed(h, entry{End: true})
	seed(h, entry{Path: "d", Dir: true, Mode: 0o755}, entry{Path: "d/../../f", Size: 1})
	seed(h, entry{Path: "f", Size: 1}, []byte{1}, make([]byte, 32))
	seed([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, stream []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "in")
		os.Mkdir(dir, 0o755)
		a, b := conntest.Pipe()
		go func() {
			a.Write(stream)
			a.CloseWrite()
		}()
		go func() { // takes the answers
			buf := make([]byte, 1024)
			for {
				if _, err := a.Read(buf); err != nil {
					return
				}
			}
		}()
		sum, err := Receive(t.Context(), b, dir, ReceiveOptions{MaxBytes: 1 << 20})
		a.Close()
		if found, _ := os.ReadDir(parent); len(found) != 1 {
			t.Fatalf("%v, %v: left %v", sum, err, found)
		}
		for name := range contents(t, dir) {
			if strings.Contains(name, tempPrefix) {
				t.Fatalf("%v: left %s", err, name)
			}
		}
	})
}
