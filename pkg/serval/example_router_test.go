package serval_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/pkg/servicetable"
)

// A service router needs a rule, or a resolver to Learn from, and diallers need to
// know the router: here by a rule of their own for all services. The connection
// does not pass through it.
func ExampleRule_forward() {
	token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	start := func(name string, cfg serval.Config, rules ...serval.Rule) *serval.Node {
		cfg.Identity, err = token.Join(identity.Member{Name: name}, time.Now())
		if err != nil {
			panic(err)
		}
		n, err := serval.NewNode(cfg)
		if err != nil {
			panic(err)
		}
		for _, r := range rules {
			if _, err := n.AddRule(r); err != nil {
				panic(err)
			}
		}
		return n
	}
	port := freePort()
	at := func(port uint16) []netip.AddrPort {
		return []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)}
	}

	server := start("server", serval.Config{Listen: at(0)})
	defer server.Close()
	l, err := server.Listen("svc:shop/cart")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(c, "Hello!")
		c.Close()
	}()

	router := start("router", serval.Config{Listen: at(port), Forward: true},
		serval.Rule{Service: "svc:shop/*", Action: servicetable.Forward, Next: []netip.AddrPort{l.Addr().(*serval.Addr).Underlay}})
	defer router.Close()
	client := start("client", serval.Config{Listen: at(0)},
		serval.Rule{Service: "*", Action: servicetable.Forward, Next: at(port)})
	defer client.Close()

	c, err := client.Dial("svc:shop/cart")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	greeting, err := io.ReadAll(c)
	fmt.Println(string(greeting), err)
	fmt.Println("served by", c.PeerIdentity().Name, "- forwarded:", router.Stats().Forwarded)
	// Output:
	// Hello! <nil>
	// served by server - forwarded: 1
}

// freePort returns a UDP port that nobody uses.
func freePort() uint16 {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}
