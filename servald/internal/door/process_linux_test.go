package door

import (
	"net"
	"os"
	"strconv"
	"testing"
)

// TestProcess: a client at a Unix socket is its process.
func TestProcess(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if c := ClientOf("test", conn); c.Session != "process "+strconv.Itoa(os.Getpid()) {
		t.Errorf("this process is %q", c.Session)
	}
}
