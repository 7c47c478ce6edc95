// Package nodetest makes clusters of real nodes on loopback for tests: they find each
// other in memory, without servald.
package nodetest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// Cluster is nodes that may dial and serve everything. It ends with the test.
type Cluster struct {
	t     testing.TB
	token *identity.Token
	known book
}

// New returns a cluster without nodes.
func New(t testing.TB) *Cluster {
	t.Helper()
	token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &Cluster{t: t, token: token}
}

// Node starts a node on loopback that finds the services of the others.
func (c *Cluster) Node() *serval.Node { return c.NodeWith(serval.Config{}) }

// NodeWith starts a node; Identity, Resolver and Listen need not be set.
func (c *Cluster) NodeWith(cfg serval.Config) *serval.Node {
	c.t.Helper()
	id, err := c.token.Join(identity.Member{Name: "node"}, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.Identity, cfg.Resolver = id, &c.known
	if cfg.Listen == nil {
		cfg.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	}
	n, err := serval.NewNode(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { n.Close() })
	return n
}

// Silent lists an instance of a service at which nobody answers.
func (c *Cluster) Silent(service string) {
	c.t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { socket.Close() })
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	c.known.list = append(c.known.list, resolver.Instance{Service: sal.MustParseName(service),
		Addrs: []netip.AddrPort{socket.LocalAddr().(*net.UDPAddr).AddrPort()}})
}

// Echo starts a node that sends back what it gets on each stream, after the ID of its
// own, NodeID.Short, and a newline.
func (c *Cluster) Echo(service string) *serval.Node {
	n := c.Node()
	c.Serve(n, service, func(conn net.Conn) {
		io.WriteString(conn, n.ID().Short()+"\n")
		io.Copy(conn, conn)
	})
	return n
}

// CheckEcho checks that a connection leads to an Echo.
func CheckEcho(t testing.TB, conn net.Conn) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Error(err)
	}
	r := bufio.NewReader(conn)
	r.ReadString('\n') // who it is
	if line, err := r.ReadString('\n'); line != "hello\n" {
		t.Errorf("%q came back, %v", line, err)
	}
}

// Serve makes a node an instance of a service whose streams handle serves. It closes
// them afterwards.
func (c *Cluster) Serve(n *serval.Node, service string, handle func(net.Conn)) {
	c.t.Helper()
	ln, err := n.Listen(service)
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
}

// EchoPackets starts a node that answers each datagram with the ID of its own, a space
// and the datagram; from the port it was for, or the next one if the datagram begins
// with "next".
func (c *Cluster) EchoPackets(service string) *serval.Node {
	c.t.Helper()
	n := c.Node()
	p, err := n.ListenPacket(service)
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			m, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			to := *from.(*serval.Addr)
			if bytes.HasPrefix(buf[:m], []byte("next")) {
				to.Port++
			}
			p.WriteTo(append([]byte(n.ID().Short()+" "), buf[:m]...), &to)
		}
	}()
	return n
}

// book is a resolver in memory.
type book struct {
	mu   sync.Mutex
	list []resolver.Instance
}

func (b *book) Resolve(_ context.Context, name sal.Name) ([]resolver.Instance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []resolver.Instance
	for _, in := range b.list {
		if in.Service.Covers(name) {
			found = append(found, in)
		}
	}
	if found == nil {
		return nil, &resolver.NoServiceError{Service: name}
	}
	return found, nil
}

func (b *book) Register(_ context.Context, r resolver.Registration) (resolver.Lease, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, resolver.Instance{Service: r.Service, Node: r.Identity.Node(), Addrs: r.Addrs})
	return &lease{b, r}, nil
}

type lease struct {
	*book
	reg resolver.Registration
}

func (l *lease) Update(context.Context, func(*resolver.Registration)) error { return nil }

func (l *lease) Close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = slices.DeleteFunc(l.list, func(in resolver.Instance) bool {
		return in.Node == l.reg.Identity.Node() && in.Service == l.reg.Service
	})
	return nil
}
