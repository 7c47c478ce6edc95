package notify

import (
	"net"
	"path/filepath"
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
