//go:build unix

package splice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// joinVariable makes TestKilled a process that joins what connects to it with the
// address that it names.
const joinVariable = "SPLICE_TEST_JOIN"

// TestKilled: when the process that joins two connections is killed, both ends find theirs
// reset, not ended.
func TestKilled(t *testing.T) {
	if to := os.Getenv(joinVariable); to != "" {
		joinUntilKilled(to)
		return
	}
	server := conntest.Listen(t)
	child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	child.Env = append(os.Environ(), joinVariable+"="+server.Addr().String())
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	var at string
	if _, err := fmt.Fscanln(out, &at); err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	served, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	io.WriteString(served, "half an ans")
	if _, err := io.ReadFull(client, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	child.Process.Kill()
	for _, conn := range []net.Conn{client, served} {
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read of what was cut: %v", err)
		}
	}
}

func joinUntilKilled(to string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	fmt.Println(ln.Addr())
	a, err := ln.Accept()
	if err != nil {
		return
	}
	b, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	Join(context.Background(), a, b)
}
