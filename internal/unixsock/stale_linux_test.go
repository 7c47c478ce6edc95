package unixsock

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRemoveStale: only what nobody listens at is removed; who is busy still listens.
func TestRemoveStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if listens, err := RemoveStale(path); listens || err != nil {
		t.Errorf("nothing there: %v, %v", listens, err)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	if listens, err := RemoveStale(path); !listens || err != nil {
		t.Errorf("somebody listens: %v, %v", listens, err)
	}
	for { // nobody accepts: soon there is no room
		c, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		defer c.Close()
	}
	if _, err := RemoveStale(path); err == nil {
		t.Error("a socket is removed whose owner is busy")
	}
	syscall.Close(fd) // as if killed
	if listens, err := RemoveStale(path); listens || err != nil {
		t.Errorf("a stale one: %v, %v", listens, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := RemoveStale(path); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("a file in the way: %v", err)
	}
}
