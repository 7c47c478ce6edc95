package capture

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestVanished: when the rules go without our doing, whoever runs a capture hears of it,
// and nothing is left.
func TestVanished(t *testing.T) {
	if !inHost(t) {
		return
	}
	network(t)
	c, err := Open(t.Context(), Config{Mode: TPROXY, To: prefixes("198.18.0.0/15"), Handler: handler{}})
	must(t, err)
	if c.gone == nil {
		t.Skip("this kernel does not know of owners")
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context(), context.Background()) }()
	// The process that owns the rules is our only child.
	lists, err := filepath.Glob("/proc/self/task/*/children")
	must(t, err)
	killed := 0
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, word := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(word)
			must(t, err)
			must(t, syscall.Kill(pid, syscall.SIGKILL))
			killed++
		}
	}
	if killed != 1 {
		t.Fatalf("killed %d processes", killed)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "removed the rules") {
		t.Errorf("it ended with %v", err)
	}
	if left := leftovers(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// TestClosedUnused: what is closed before it runs leaves no socket open.
func TestClosedUnused(t *testing.T) {
	if !inHost(t) {
		return
	}
	network(t)
	c, err := Open(t.Context(), Config{Mode: TPROXY, To: prefixes("198.18.0.0/15"), Handler: handler{}})
	must(t, err)
	must(t, c.Close())
	for _, udp := range c.datagrams {
		if _, _, err := udp.ReadFromUDPAddrPort(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading from %v: %v", udp.LocalAddr(), err)
		}
	}
	if left := leftovers(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
