//go:build unix

package unixsock

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// pair connects over a Unix socket.
func pair(t *testing.T) (client net.Conn, l *Listener) {
	t.Helper()
	dir, err := os.MkdirTemp("", "serval") // short, for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err = Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	client, err = net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, l
}

func TestPeer(t *testing.T) {
	client, l := pair(t)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for name, c := range map[string]net.Conn{"client": client, "server": server} {
		uid, ok, err := Peer(c)
		if err != nil || ok && uid != os.Geteuid() || !ok && runtime.GOOS == "linux" {
			t.Errorf("the peer of the %s: %d, %v, %v", name, uid, ok, err)
		}
		if err := CheckPeer(c, os.Geteuid()); err != nil {
			t.Error(err)
		}
	}
	pipe, _ := net.Pipe()
	if CheckPeer(pipe, 0) == nil {
		t.Error("a connection without a user is accepted")
	}
}

func TestCheckDir(t *testing.T) {
	dir := t.TempDir()
	if err := CheckDir(dir); err != nil {
		t.Error(err)
	}
	if uid, err := Owner(dir); err != nil || uid != os.Getuid() {
		t.Errorf("owner %d, %v", uid, err)
	}
	os.Chmod(dir, 0o777)
	if err := CheckDir(dir); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a directory of everybody: %v", err)
	}
	if CheckDir(filepath.Join(dir, "none")) == nil {
		t.Error("a directory that is not there")
	}
}

func TestOthersDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chown(dir, 4711, 4711); err != nil {
		t.Skipf("only root can give a directory away: %v", err)
	}
	if err := CheckDir(dir); err == nil || !strings.Contains(err.Error(), "4711") {
		t.Errorf("another user's directory: %v", err)
	}
}
