package serval_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// A live connection moves from one address to another. Loopback aliases stand for
// two interfaces here.
func ExampleConn_Migrate() {
	token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		panic(err)
	}
	node := func(known resolver.Resolver, addrs ...string) *serval.Node {
		cfg := serval.Config{Resolver: known}
		for _, a := range addrs {
			cfg.Listen = append(cfg.Listen, netip.MustParseAddrPort(a))
		}
		if cfg.Identity, err = token.Join(identity.Member{}, time.Now()); err != nil {
			panic(err)
		}
		n, err := serval.NewNode(cfg)
		if err != nil {
			panic(err)
		}
		return n
	}
	server := node(nil, "127.0.0.1:0")
	defer server.Close()
	l, err := server.Listen("svc:hello")
	if err != nil {
		panic(err)
	}
	at := l.Addr().(*serval.Addr).Underlay
	client := node(resolver.NewStatic(resolver.Instance{Service: sal.MustParseName("svc:hello"), Addrs: []netip.AddrPort{at}}),
		"127.0.0.1:0", "127.0.0.2:0")
	defer client.Close()

	d := serval.Dialer{Node: client, Policy: serval.Policy{Mode: serval.Failover}}
	c, err := d.DialConn(context.Background(), "tcp", "svc:hello")
	if err != nil {
		panic(err)
	}
	defer c.Close()
	c.Write([]byte("hello"))
	peer, err := l.AcceptConn()
	if err != nil {
		panic(err)
	}

	events := c.Events(context.Background())
	err = c.Migrate(context.Background(), serval.MigrateTo{Addr: netip.MustParseAddr("127.0.0.2")})
	if err != nil {
		panic(err)
	}
	for e := range events {
		if e.Kind == serval.FlowMoved {
			fmt.Println(e.Kind, "to", e.Local.Addr())
			break
		}
	}
	buf := make([]byte, 5)
	n, _ := peer.Read(buf)
	fmt.Println(string(buf[:n]))
	// Output:
	// migrated to 127.0.0.2
	// hello
}
