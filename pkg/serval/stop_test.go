package serval

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/resolver/gossip"
)

// dialLoop dials a service from several goroutines, one request to each
// connection, until the function returned is called; that fails the test if one
// of the dials or requests failed.
func dialLoop(t *testing.T, client *Node, service string) (end func()) {
	var done atomic.Int64
	var mu sync.Mutex
	var failed []error
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := client.Dial(service)
				if err == nil {
					err = errors.Join(ask(c, "request"), c.Close())
				}
				if err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
				done.Add(1)
				time.Sleep(time.Millisecond)
			}
		})
	}
	begin := time.Now()
	return func() {
		t.Helper()
		close(stop)
		workers.Wait()
		t.Logf("%d dials in %v, %d failed", done.Load(), time.Since(begin), len(failed))
		for _, err := range failed[:min(len(failed), 5)] {
			t.Errorf("a dial or request failed: %v", err)
		}
		if done.Load() < 40 {
			t.Errorf("%d dials are too few for a test", done.Load())
		}
	}
}

// rolling replaces instances one after the other while a client dials, each in
// the ways that instances may stop.
func rolling(t *testing.T, client *Node, start func() *Node) {
	const service = "svc:echo"
	serve := func() *Node {
		n := start()
		ln, err := n.Listen(service)
		must(t, err)
		go acceptEcho(ln)
		return n
	}
	all := []*Node{serve(), serve(), serve()}
	eventually(t, "the client finds the service", func() bool {
		in, err := client.cfg.Resolver.Resolve(t.Context(), all[0].Listeners()[0].name)
		return err == nil && len(in) == len(all)
	})
	end := dialLoop(t, client, service)
	for i := range 6 {
		all = append(all, serve())
		n := all[0]
		all = all[1:]
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		switch i % 3 {
		case 0: // the node, with patience
		case 1: // the listener, as a program does that goes on
			must(t, n.Listeners()[0].Close())
			eventually(t, "its connections are over", func() bool { return n.Stats().Connections == 0 })
		case 2: // on command
			must(t, n.Listeners()[0].Drain(ctx, nil))
		}
		must(t, n.Shutdown(ctx))
		if ctx.Err() != nil {
			t.Error("the node did not stop")
		}
		cancel()
		time.Sleep(20 * time.Millisecond)
	}
	end()
}

// TestNoDialFails: while instances stop and others take their place, no dial and
// no request fails, whatever way they find each other.
func TestNoDialFails(t *testing.T) {
	t.Run("InMemory", func(t *testing.T) {
		l := newLab(t)
		host := 1
		rolling(t, l.node(1), func() *Node {
			host++
			l.delay(1, host, 2*time.Millisecond)
			return l.node(host)
		})
	})
	t.Run("Gossip", func(t *testing.T) {
		c := newCluster(t)
		var seeds []string
		start := func() *Node {
			cfg := Config{Identity: c.join(t, "node")}
			g, err := gossip.New(gossip.Config{Identity: cfg.Identity, Seeds: slices.Clone(seeds), Bind: netip.MustParseAddrPort("127.0.0.1:0")})
			must(t, err)
			if len(seeds) == 0 {
				seeds = append(seeds, g.Addr().String())
			}
			<-g.Joined()
			cfg.Resolver = g
			cfg.owned = append(cfg.owned, g)
			return startNode(t, cfg)
		}
		rolling(t, start(), start)
	})
	t.Run("ControlSocket", func(t *testing.T) {
		c := newCluster(t)
		path := daemonFor(t, c)
		start := func() *Node {
			client := control.NewClient(path)
			return startNode(t, Config{Identity: c.join(t, "node"), Resolver: client, owned: []io.Closer{client}})
		}
		rolling(t, start(), start)
	})
}

// daemonFor serves a control socket, as a servald does, and returns its path.
func daemonFor(t *testing.T, c *cluster) string {
	dir, err := os.MkdirTemp("", "serval") // short: paths of sockets are limited
	must(t, err)
	path := filepath.Join(dir, "serval", "socket")
	ln, err := control.Listen(path)
	must(t, err)
	id := c.join(t, "servald")
	srv := (&control.Server{Directory: resolver.NewDirectory(id.Cluster()), Cluster: id.Cluster()}).HTTP()
	var done sync.WaitGroup
	done.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the control socket: %v", err)
		}
	})
	t.Cleanup(func() {
		srv.Close()
		done.Wait()
		os.RemoveAll(dir)
	})
	return path
}

// TestAcceptAfterClose: what had come before Close can still be accepted, so that
// a server's loop ends without losing anybody.
func TestAcceptAfterClose(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	ln, err := server.Listen("svc:echo")
	must(t, err)
	var dialled []*Conn
	for range 3 {
		dialled = append(dialled, l.dial(client, "svc:echo"))
	}
	must(t, ln.Close())
	acceptEcho(ln)
	for _, c := range dialled {
		must(t, ask(c, "request"))
		must(t, c.Close())
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the next Accept: %v", err)
	}
	t.Run("NobodyAccepts", func(t *testing.T) {
		ln, err := server.Listen("svc:late")
		must(t, err)
		c := l.dial(client, "svc:late")
		must(t, ln.Close())
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, ErrReset) {
			t.Errorf("the end that nobody accepted reads %v", err)
		}
		eventually(t, "the connection is over", func() bool { return server.Stats().Connections == 0 })
	})
}
