package control

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestImpostor: a client does not talk to a daemon of another user, even at a socket
// that is where its own should be, nor at one that anybody can put another in the
// place of.
func TestImpostor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	path := socket(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) })}
	t.Cleanup(func() { srv.Close() })
	go srv.Serve(ln)
	var s struct{}
	if err := newClient(t, path).Status(ctx, &s); err != nil {
		t.Errorf("our own: %v", err)
	}
	os.Chmod(filepath.Dir(path), 0o777)
	os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755)
	if err := newClient(t, path).Status(ctx, &s); err == nil || !strings.Contains(err.Error(), "others may write") {
		t.Errorf("where others may write: %v", err)
	}

	other := filepath.Join(filepath.Dir(path), "other")
	listening := make(chan net.Listener)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with its user
		const keep = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, 4711, keep); errno != 0 {
			t.Error(errno)
		}
		l, err := net.Listen("unix", other)
		if err != nil {
			t.Error(err)
		}
		listening <- l
	}()
	impostor := <-listening
	if impostor == nil {
		return
	}
	fake := &http.Server{Handler: srv.Handler}
	t.Cleanup(func() { fake.Close() })
	go fake.Serve(impostor)
	os.Chmod(filepath.Dir(path), 0o700)
	if err := newClient(t, other).Status(ctx, &s); err == nil || !strings.Contains(err.Error(), "user 4711 is at the other end") {
		t.Errorf("an impostor: %v", err)
	}
}
