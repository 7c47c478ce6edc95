package router

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/pkg/servicetable"
)

const (
	roleVariable  = "ROUTER_TEST_ROLE" // role, own address, next hop
	tokenVariable = "ROUTER_TEST_TOKEN"

	service = "svc:echo"
	volume  = 1 << 20
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(strings.Fields(role)); err != nil {
			fmt.Fprintln(os.Stderr, role, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestThreeSubnets dials through a router that is in another subnet than both ends,
// without a NAT and behind each kind. The router carries the first packet and, where
// the NAT lets no one else answer, the instance's answer; never the data.
func TestThreeSubnets(t *testing.T) {
	for name, test := range map[string]struct {
		nat      lab.NAT
		returned int // answers that go back through the router at least
	}{
		"no NAT":      {lab.NoNAT, 0},
		"PortKeeping": {lab.PortKeeping, 1},
		"Symmetric":   {lab.SymmetricNAT, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := lab.NewPaths(lab.Topology{Paths: []lab.Path{{NAT: test.nat}}, Third: true})
			if errors.Is(err, lab.ErrUnavailable) {
				t.Skip(err)
			}
			must(t, err)
			t.Cleanup(func() { p.Close() })
			token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
			must(t, err)
			text := token.String()

			way := p.Ways[0]
			server := start(t, p.Server, text, "server", way.Server.Addrs()[0])
			router := start(t, p.Third, text, "router", p.ThirdAddrs[0], at(way.Server.Addrs()[0]))
			client := start(t, p.Client, text, "client", way.Client.Addrs()[0], at(p.ThirdAddrs[0]))
			if got, want := client.line(t), "connected to "+at(way.Server.Addrs()[0]); got != want {
				t.Fatalf("%q, want %q", got, want)
			}
			client.line(t) // the data is there and back
			router.in.Close()
			var forwarded, returned int
			fmt.Sscan(router.line(t), &forwarded, &returned)
			t.Logf("the router forwarded %d SYNs and sent %d answers back", forwarded, returned)
			const most = 5 // one, but on a busy machine some are repeated
			if forwarded < 1 || forwarded > most || returned < test.returned || returned > most {
				t.Errorf("the router forwarded %d SYNs and sent %d answers back, want 1 and %d", forwarded, returned, test.returned)
			}
			server.in.Close()
		})
	}
}

func at(a netip.Addr) string { return netip.AddrPortFrom(a, 7000).String() }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// process plays a role on a host.
type process struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

// start runs a role and waits until it is ready.
func start(t *testing.T, h *lab.Host, token, role string, addr netip.Addr, more ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := h.Command(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+strings.Join(append([]string{role, at(addr)}, more...), " "), tokenVariable+"="+token)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, h.Start(cmd))
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
		cancel()
	})
	p := &process{in, bufio.NewScanner(out)}
	p.line(t)
	return p
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.out.Scan() {
		t.Fatal("a process has ended early")
	}
	return p.out.Text()
}

// play is what a process does: its role until its input ends.
func play(role []string) error {
	token, err := identity.ParseToken(os.Getenv(tokenVariable))
	if err != nil {
		return err
	}
	id, err := token.Join(identity.Member{Name: role[0]}, time.Now())
	if err != nil {
		return err
	}
	n, err := serval.NewNode(serval.Config{Identity: id, Listen: []netip.AddrPort{netip.MustParseAddrPort(role[1])}, Forward: role[0] == "router"})
	if err != nil {
		return err
	}
	defer n.Close()
	if len(role) > 2 {
		if _, err := n.AddRule(serval.Rule{Service: service, Action: servicetable.Forward, Next: []netip.AddrPort{netip.MustParseAddrPort(role[2])}}); err != nil {
			return err
		}
	}
	if role[0] == "server" {
		ln, err := n.Listen(service)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					io.Copy(c, c)
					c.Close()
				}()
			}
		}()
	}
	fmt.Println("ready")
	if role[0] == "client" {
		return exchange(n)
	}
	io.Copy(io.Discard, os.Stdin)
	fmt.Println(n.Stats().Forwarded, n.Stats().Returned)
	return nil
}

// exchange dials, says whom it got, and sends data there and back.
func exchange(n *serval.Node) error {
	c, err := n.Dial(service)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Println("connected to", c.RemoteAddr().(*serval.Addr).Underlay)
	c.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		c.Write(make([]byte, volume))
		c.CloseWrite()
	}()
	got, err := io.Copy(io.Discard, c)
	if err == nil && got != volume {
		err = fmt.Errorf("%d bytes came back of %d", got, volume)
	}
	if err == nil {
		fmt.Println("done")
	}
	return err
}
