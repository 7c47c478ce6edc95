package notify

import (
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"testing"
)

func TestReady(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Ready("alone"); err != nil {
		t.Errorf("without a manager: %v", err)
	}
	path := filepath.Join(t.TempDir(), "n")
	pc, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Skip("no unix datagram sockets here")
	}
	defer pc.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Ready("up"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, _, err := pc.ReadFrom(b)
	if err != nil || string(b[:n]) != "READY=1\nSTATUS=up" {
		t.Errorf("the manager read %q, %v", b[:n], err)
	}
}

// TestReloading: a service manager that sent a signal to reload waits for both.
func TestReloading(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	pc, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Skip("no unix datagram sockets here")
	}
	defer pc.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Reloading(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, _, err := pc.ReadFrom(b)
	var usec int64
	if _, serr := fmt.Sscanf(string(b[:n]), "RELOADING=1\nMONOTONIC_USEC=%d", &usec); err != nil || serr != nil || runtime.GOOS == "linux" && usec <= 0 {
		t.Errorf("the manager read %q, %v", b[:n], err)
	}
}
