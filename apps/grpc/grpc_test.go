package main

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/serval-net/serval/pkg/serval"
)

func TestGreet(t *testing.T) {
	node, err := serval.NewNode(serval.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	greeted(t, services{node}, "svc:greeter", " at #"+node.ID().Short(), "svc:greeter#")
}

func TestGreetOverTCP(t *testing.T) {
	network, closeNetwork, err := over("tcp:127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closeNetwork()
	greeted(t, network, "127.0.0.1:0", " at 127.0.0.1:", "this is 127.0.0.1:")
}

// greeted lets a greeter listen, and checks how it greets.
func greeted(t *testing.T, network network, listen, caller, greeter string) {
	t.Helper()
	ln, err := network.Listen(listen)
	if err != nil {
		t.Fatal(err)
	}
	at := listen
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
		at = tcp.String()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln) }()
	for _, whom := range []string{"Ada", "Emmy"} {
		var got strings.Builder
		if err := greet(t.Context(), network, at, whom, 2, 0, &got); err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(got.String(), "\n")
		if len(lines) != 3 || lines[0] != lines[1] || !strings.HasPrefix(lines[0], "Hello "+whom+caller) || !strings.Contains(lines[0], greeter) {
			t.Errorf("greeted with %q", lines)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
