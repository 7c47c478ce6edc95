package serval

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
)

var loopback = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}

// cluster makes identities of one cluster.
type cluster struct{ token *identity.Token }

func newCluster(t testing.TB) *cluster {
	t.Helper()
	tok, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{tok}
}

func (c *cluster) join(t testing.TB, name string) *identity.Identity {
	t.Helper()
	id, err := c.token.Join(identity.Member{Name: name}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func startNode(t testing.TB, cfg Config) *Node {
	t.Helper()
	if cfg.Listen == nil {
		cfg.Listen = loopback
	}
	n, err := NewNode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func TestDialSelf(t *testing.T) {
	n := startNode(t, Config{})
	l, err := n.Listen("svc:hello")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()
	c, err := n.Dial("svc:hello")
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	go func() {
		c.Write(data)
		c.CloseWrite()
	}()
	h := sha256.New()
	if _, err := io.Copy(h, c); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(data)
	if string(h.Sum(nil)) != string(want[:]) {
		t.Fatal("echo differs")
	}
	c.Close()
	if got := c.RemoteAddr().String(); got != "svc:hello#"+n.ID().Short() {
		t.Errorf("RemoteAddr = %q", got)
	}
}
