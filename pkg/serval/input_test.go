package serval

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

// TestBadInput: whatever is wrong, the error names it and says what to do.
func TestBadInput(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.node(1)
	_, err := n.Listen("svc:taken")
	must(t, err)
	dial := func(name string) func() error {
		return func() error { _, err := n.Dial(name); return err }
	}
	listen := func(name string) func() error {
		return func() error { _, err := n.Listen(name); return err }
	}
	var name *sal.NameError
	for _, c := range []struct {
		what string
		do   func() error
		kind any // an error for errors.Is, or a target for errors.As
		says []string
	}{
		{"empty name", dial(""), &name, []string{"dial", "svc:"}},
		{"blank in a name", dial("svc:my web"), &name, []string{"svc:my web", "letters"}},
		{"too many levels", dial("svc:a/b/c/d"), &name, []string{"svc:a/b/c/d", "level"}},
		{"long level", dial("svc:" + strings.Repeat("x", 64)), &name, []string{"63"}},
		{"host and port", dial("example.com:80"), &name, []string{"example.com:80", "svc"}},
		{"wildcard dial", dial("svc:cache/*"), nil, []string{"svc:cache/*", "dial one service"}},
		{"bad name to listen", listen("svc:"), &name, []string{"listen", "svc:"}},
		{"name in use", listen("svc:taken"), ErrInUse, []string{"already listens on svc:taken", "close that listener first or use another node"}},
		{"packets on a name in use", func() error { _, err := n.ListenPacket("svc:taken"); return err }, ErrInUse, []string{"svc:taken"}},
		{"unknown network", func() error { _, err := n.DialContext(t.Context(), "sctp", "svc:a"); return err },
			net.UnknownNetworkError("sctp"), []string{"sctp"}},
		{"port in use", func() error {
			a := netip.AddrPortFrom(ip(5), 7000)
			_, err := NewNode(Config{network: l.net.Host(ip(5)), Listen: []netip.AddrPort{a, a}})
			return err
		}, nil, []string{"cannot listen on 10.0.0.5:7000", "in use", "choose another", "SERVAL_LISTEN"}},
		{"foreign address", func() error {
			_, err := NewNode(Config{network: l.net.Host(ip(6)), Listen: []netip.AddrPort{netip.AddrPortFrom(ip(7), 1)}})
			return err
		}, nil, []string{"cannot listen on 10.0.0.7:1", "choose another"}},
		{"no interfaces", func() error {
			_, err := NewNode(Config{network: l.net.Host()})
			return err
		}, nil, []string{"no address to listen on", "bring an interface up or set Config.Listen"}},
	} {
		err := c.do()
		if err == nil {
			t.Errorf("%s: no error", c.what)
			continue
		}
		switch k := c.kind.(type) {
		case error:
			if !errors.Is(err, k) {
				t.Errorf("%s: %q is not %q", c.what, err, k)
			}
		case **sal.NameError:
			if !errors.As(err, k) {
				t.Errorf("%s: %q is no NameError", c.what, err)
			}
		}
		for _, w := range c.says {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.what, err, w)
			}
		}
	}
}

// TestClosedNode: everything on a closed node fails at once, and says why.
func TestClosedNode(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.node(1)
	ln, err := n.Listen("svc:a")
	must(t, err)
	must(t, n.Close())
	must(t, n.Close()) // again does nothing
	_, err = n.Dial("svc:a")
	sentence(t, err, ErrClosed, "the node was closed", "NewNode")
	_, err = n.Listen("svc:b")
	sentence(t, err, ErrClosed, "the node was closed", "NewNode")
	_, err = ln.Accept()
	sentence(t, err, net.ErrClosed, "svc:a")
	must(t, ln.Close())
}

// TestConfigLeavesNothing: a node that could not start holds no socket.
func TestConfigLeavesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	h := l.net.Host(ip(1))
	a := netip.AddrPortFrom(ip(1), 7000)
	if _, err := NewNode(Config{network: h, Listen: []netip.AddrPort{a, a}}); err == nil {
		t.Fatal("it started")
	}
	n, err := NewNode(Config{network: h, Listen: []netip.AddrPort{a}})
	must(t, err)
	must(t, n.Close())
}
