package expose

import (
	"crypto/sha256"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// Caller is who is at the other end of a connection, as far as a server that knows
// nothing of Serval can be told.
type Caller struct {
	Service string          // that was dialled, such as "svc:web"
	Port    uint16          // that the client said, 0 if none
	Node    identity.NodeID // verified; zero if the connection says nothing of it
	Name    string          // the node's own label: clean, but not unique, and chosen by it
	Addr    netip.AddrPort  // where it is now
	Local   netip.AddrPort  // where it reaches us
	Conn    string          // the connection's ID in servald flows
	Text    string          // all in one, such as "#k5x2mqpa"
}

// maxName is how much is told of a node's label.
const maxName = 128

// callerOf asks a connection what it says of its other end.
func callerOf(service string, conn net.Conn) Caller {
	c := Caller{Service: service, Text: conn.RemoteAddr().String()}
	if a, ok := conn.LocalAddr().(*serval.Addr); ok && a.Service != "" {
		c.Service = a.Service
	}
	c.setAddr(conn.RemoteAddr(), &c.Addr)
	c.setAddr(conn.LocalAddr(), &c.Local)
	if who, ok := conn.(interface{ PeerIdentity() identity.Peer }); ok {
		c.setPeer(who.PeerIdentity())
	}
	if p, ok := conn.(interface{ Port() uint16 }); ok {
		c.Port = p.Port()
	}
	if p, ok := conn.(interface{ ID() string }); ok {
		c.Conn = p.ID()
	}
	return c
}

func (c *Caller) setPeer(p identity.Peer) { c.Node, c.Name = p.Node, clean(p.Name) }

func (c *Caller) setAddr(a net.Addr, to *netip.AddrPort) {
	switch a := a.(type) {
	case *serval.Addr:
		*to = a.Underlay
	case *net.TCPAddr:
		*to = a.AddrPort()
	}
}

// clean leaves of a text that another host chose what cannot do harm in a log, an
// environment or a header.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	return s
}

// Environ returns the variables that tell a command who calls.
func (c Caller) Environ() []string {
	env := []string{"SERVAL_SERVICE=" + c.Service, "SERVAL_PEER=" + c.Text}
	add := func(key, value string) {
		if value != "" {
			env = append(env, key+"="+value)
		}
	}
	if c.Node != (identity.NodeID{}) {
		add("SERVAL_PEER_NODE", c.Node.String())
		add("SERVAL_PEER_VIRTUAL", virtual(c.Node).String())
	}
	add("SERVAL_PEER_NAME", c.Name)
	if c.Addr.IsValid() {
		add("SERVAL_PEER_ADDR", c.Addr.String())
	}
	if c.Port != 0 {
		add("SERVAL_PORT", strconv.Itoa(int(c.Port)))
	}
	add("SERVAL_CONN", c.Conn)
	return env
}

// virtual is the address that stands for a node, for ever and on every host: the
// prefix of virtual addresses and the first 80 bits of a hash of the node's ID.
func virtual(n identity.NodeID) netip.Addr {
	sum := sha256.Sum256(append([]byte("serval virtual IPv6 address of a node\x00"), n[:]...))
	a := vaddr.Prefix6.Addr().As16()
	copy(a[6:], sum[:10])
	return netip.AddrFrom16(a)
}
