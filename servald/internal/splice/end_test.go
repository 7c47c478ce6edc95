package splice

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// A listener can be replaced by another at its address while its connections go on,
// until End is done.
func TestProxyEnd(t *testing.T) {
	ln := conntest.Listen(t)
	at := ln.Addr().String()
	end, endNow := context.WithCancel(t.Context())
	p := &Proxy{Log: quiet(), End: end, Handle: func(ctx context.Context, c net.Conn) error {
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		_, err := io.Copy(c, c)
		return err
	}}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, ln) }()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo := func() {
		t.Helper()
		io.WriteString(c, "hello")
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	echo()
	cancel()
	ln.Close()
	again, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	echo()
	endNow()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
