package serval_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/pkg/servicetable"
)

// A rule has a service started when somebody dials it, and refuses another. The
// hook may be a command or a URL as well.
func ExampleNode_AddRule() {
	n, err := serval.NewNode(serval.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer n.Close()
	start := func(ctx context.Context, service string) ([]netip.AddrPort, time.Duration, error) {
		fmt.Println("starting", service)
		l, err := n.Listen(service) // or on another node, whose address it returns
		if err != nil {
			return nil, 0, err
		}
		go func() {
			if c, err := l.Accept(); err == nil {
				fmt.Fprint(c, "here I am")
				c.Close()
			}
		}()
		return nil, 0, nil
	}
	if _, err := n.AddRule(serval.Rule{Service: "svc:fn/*", Action: servicetable.Delay, Hook: serval.Hook{Call: start}}); err != nil {
		fmt.Println(err)
		return
	}
	old, err := n.AddRule(serval.Rule{Service: "svc:fn/old", Action: servicetable.Drop, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer n.RemoveRule(old)

	c, err := n.Dial("svc:fn/resize")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	said, _ := io.ReadAll(c)
	fmt.Printf("%s\n", said)

	_, err = n.Dial("svc:fn/old")
	fmt.Println(errors.Is(err, serval.ErrRefused))
	// Output:
	// starting svc:fn/resize
	// here I am
	// true
}
