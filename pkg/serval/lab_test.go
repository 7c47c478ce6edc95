package serval

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// lab is a cluster of nodes on a network in memory. Its resolver lists
// instances in the order in which they were registered.
type lab struct {
	testing.TB
	*cluster
	*book
	net *simnet.Network
}

func newLab(t testing.TB) *lab {
	l := &lab{TB: t, cluster: newCluster(t), book: &book{}, net: simnet.New(1)}
	t.Cleanup(func() { l.net.Close() })
	return l
}

// ip is the address of the lab's n-th host.
func ip(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// node starts a node on a host of its own with one address, port 7000.
func (l *lab) node(host int) *Node { return l.nodeWith(Config{}, ip(host)) }

// nodeWith starts a node on a host with the addresses given.
func (l *lab) nodeWith(cfg Config, addrs ...netip.Addr) *Node {
	l.Helper()
	return l.nodeOn(l.net.Host(addrs...), cfg, addrs...)
}

func (l *lab) nodeOn(h *simnet.Host, cfg Config, addrs ...netip.Addr) *Node {
	l.Helper()
	if cfg.Identity == nil {
		cfg.Identity = l.join(l, "node")
	}
	if cfg.Resolver == nil {
		cfg.Resolver = l.book
	}
	for _, a := range addrs {
		cfg.Listen = append(cfg.Listen, netip.AddrPortFrom(a, 7000))
	}
	cfg.network = h
	return startNode(l, cfg)
}

// delay sets the one-way delay between two hosts.
func (l *lab) delay(a, b int, d time.Duration) { l.net.SetPath(ip(a), ip(b), simnet.Params{Delay: d}) }

// echo makes a node an instance that echoes.
func (l *lab) echo(n *Node, service string) *Listener {
	l.Helper()
	ln, err := n.Listen(service)
	if err != nil {
		l.Fatal(err)
	}
	go acceptEcho(ln)
	return ln
}

// dial opens a connection that the test closes.
func (l *lab) dial(n *Node, service string) *Conn {
	l.Helper()
	c, err := n.Dial(service)
	if err != nil {
		l.Fatal(err)
	}
	return c
}

// pair returns a connection between hosts 1 and 2, accepted on 2.
func (l *lab) pair() (a, b *Conn) {
	l.Helper()
	return l.pairOn(l.node(1), l.node(2))
}

func (l *lab) pairOn(from, to *Node) (a, b *Conn) {
	l.Helper()
	ln, err := to.Listen("svc:pair")
	if err != nil {
		l.Fatal(err)
	}
	defer ln.Close()
	a = l.dial(from, "svc:pair")
	b, err = ln.AcceptConn()
	if err != nil {
		l.Fatal(err)
	}
	return a, b
}

// book is a resolver in memory. Earlier registrations have priority.
type book struct {
	mu   sync.Mutex
	list []resolver.Instance
	flat bool // all have the same priority
}

func (b *book) Resolve(_ context.Context, name sal.Name) ([]resolver.Instance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []resolver.Instance
	for i, in := range b.list {
		if in.Service.Covers(name) {
			if !b.flat {
				in.Priority = -i
			}
			found = append(found, in)
		}
	}
	if found == nil {
		return nil, &resolver.NoServiceError{Service: name}
	}
	return found, nil
}

// add lists an instance that may not exist.
func (b *book) add(service string, addrs ...netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, resolver.Instance{Service: sal.MustParseName(service), Addrs: addrs})
}

func (b *book) Register(_ context.Context, r resolver.Registration) (resolver.Lease, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, instanceOf(r))
	return &bookLease{b, r}, nil
}

func instanceOf(r resolver.Registration) resolver.Instance {
	return resolver.Instance{Service: r.Service, Node: r.Identity.Node(), Addrs: r.Addrs,
		Weight: r.Weight, Priority: r.Priority, Load: r.Load, Balance: r.Balance, Keys: r.Keys}
}

type bookLease struct {
	*book
	reg resolver.Registration
}

func (l *bookLease) is(in resolver.Instance) bool {
	return in.Node == l.reg.Identity.Node() && in.Service == l.reg.Service
}

func (l *bookLease) Update(_ context.Context, change func(*resolver.Registration)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reg = l.reg.Changed(change)
	l.list[slices.IndexFunc(l.list, l.is)] = instanceOf(l.reg)
	return nil
}

func (l *bookLease) Close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = slices.DeleteFunc(l.list, l.is)
	return nil
}

// exchange sends n random bytes to an echo, ends the stream and checks what
// comes back.
func exchange(c *Conn, n int) error {
	c.SetDeadline(time.Now().Add(30 * time.Second))
	var seed [32]byte
	seed[0] = byte(n)
	sent := sha256.New()
	wrote := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.MultiWriter(c, sent), rand.NewChaCha8(seed), int64(n))
		c.CloseWrite()
		wrote <- err
	}()
	got := sha256.New()
	m, err := io.Copy(got, c)
	if err == nil {
		err = <-wrote
	}
	if err != nil {
		return err
	}
	if m != int64(n) || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		return fmt.Errorf("sent %d bytes, %d came back, or others", n, m)
	}
	return c.Close()
}

// ask sends one message to an echo and reads it back.
func ask(c *Conn, text string) error {
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("sent %q, %q came back", text, got)
	}
	return nil
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// typeOf returns the type of a packet.
func typeOf(pkt []byte) sal.Type {
	t, _ := sal.PeekType(pkt)
	return t
}

// counter counts packets by type.
type counter struct {
	mu sync.Mutex
	n  map[sal.Type]int
}

func (c *counter) count(t sal.Type) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[sal.Type]int)
	}
	c.n[t]++
	return c.n[t]
}

func (c *counter) get(t sal.Type) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[t]
}

// identityWith returns a member of the lab's cluster with the rights given.
func (l *lab) identityWith(r identity.Rights) *identity.Identity {
	l.Helper()
	id, err := l.token.Join(identity.Member{Rights: r, Name: "limited"}, time.Now())
	must(l, err)
	return id
}
