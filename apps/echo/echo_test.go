package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/serval-net/serval/pkg/serval"
)

func TestEcho(t *testing.T) {
	node, err := serval.NewNode(serval.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	ln, err := node.Listen("svc:echo")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := node.ListenPacket(datagrams("svc:echo"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { serve(ctx, ln, pc); close(done) }()
	defer func() { cancel(); <-done }()

	var out bytes.Buffer
	if err := send(t.Context(), node, "svc:echo", "hello", &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"svc:echo#", "svc:echo/datagram#", ": hello ("} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
}
