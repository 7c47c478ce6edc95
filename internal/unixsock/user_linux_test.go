package unixsock

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestOtherUser: the kernel's word counts where modes let everybody in.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	_, l := pair(t)
	path := l.Addr().String()
	os.Chmod(filepath.Dir(path), 0o755)
	os.Chmod(path, 0o777)
	answered := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with its user
		const keep = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, 4711, keep); errno != 0 {
			answered <- errno
			return
		}
		c, err := net.Dial("unix", path)
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		answered <- err
	}()
	first, err := l.Accept() // pair's
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	if err := <-answered; err != io.EOF {
		t.Errorf("another user's connection ends with %v, want io.EOF", err)
	}
	l.Close()
	if c := <-accepted; c != nil {
		t.Error("another user's connection was accepted")
	}
}
