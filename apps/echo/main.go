// Echo answers what it is sent, by stream and by datagram, under a service name.
//
//	echo serve svc:echo        streams at svc:echo, datagrams at svc:echo/datagram
//	echo send svc:echo TEXT    sends a text both ways and prints the answers
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/serval-net/serval/pkg/serval"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
	case len(args) == 3 && args[0] == "send":
	default:
		return fmt.Errorf("usage: echo serve NAME, or echo send NAME TEXT")
	}
	node, err := serval.Default()
	if err != nil {
		return err
	}
	defer node.Close()
	if args[0] == "send" {
		return send(ctx, node, args[1], args[2], os.Stdout)
	}
	ln, err := node.Listen(args[1])
	if err != nil {
		return err
	}
	pc, err := node.ListenPacket(datagrams(args[1]))
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "echoing at %s and %s\n", ln.Addr(), pc.LocalAddr())
	serve(ctx, ln, pc)
	return nil
}

// datagrams is the name of the datagram service beside a stream service.
func datagrams(name string) string { return name + "/datagram" }

// serve answers until ctx is done, and closes what it listens on.
func serve(ctx context.Context, ln net.Listener, pc net.PacketConn) {
	stop := context.AfterFunc(ctx, func() { ln.Close(); pc.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { serveStreams(ctx, ln) })
	wg.Go(func() { serveDatagrams(pc) })
	wg.Wait()
}

// serveStreams answers on connections until the listener is closed.
func serveStreams(ctx context.Context, ln net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			io.Copy(conn, conn)
		})
	}
}

// serveDatagrams answers datagrams until pc is closed.
func serveDatagrams(pc net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		pc.WriteTo(buf[:n], from) // what gets lost is the sender's to repeat
	}
}

// send sends text both ways and writes the answers to w.
func send(ctx context.Context, node *serval.Node, name, text string, w io.Writer) error {
	for _, way := range []struct{ network, name string }{{"tcp", name}, {"udp", datagrams(name)}} {
		conn, err := node.DialContext(ctx, way.network, way.name)
		if err != nil {
			return err
		}
		start := time.Now()
		answer, err := exchange(conn, text)
		conn.Close()
		if err != nil {
			return fmt.Errorf("waiting for the answer of %s: %w", way.name, err)
		}
		fmt.Fprintf(w, "%s: %s (%s)\n", conn.RemoteAddr(), answer, time.Since(start).Round(time.Microsecond))
	}
	return nil
}

// exchange sends a text and reads as many bytes, again if no answer comes: a
// datagram may get lost.
func exchange(conn net.Conn, text string) (string, error) {
	buf := make([]byte, len(text))
	var err error
	for range 5 {
		if _, err = io.WriteString(conn, text); err != nil {
			return "", err
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		var n int
		if n, err = io.ReadFull(conn, buf); err == nil {
			return string(buf[:n]), nil
		}
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
			return "", err
		}
	}
	return "", err
}
