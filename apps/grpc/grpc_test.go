package main

import (
	"context"
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
	ln, err := node.Listen("svc:greeter")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln) }()
	for _, whom := range []string{"Ada", "Emmy"} {
		got, err := greet(t.Context(), node, "svc:greeter", whom)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got, "Hello "+whom+" at #"+node.ID().Short()) || !strings.Contains(got, "svc:greeter#") {
			t.Errorf("greeted with %q", got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
