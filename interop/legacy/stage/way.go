//go:build linux

package stage

import (
	"context"
	"fmt"

	"github.com/serval-net/serval/interop/internal/fleet"
)

// Way is how a program that knows nothing of Serval gets to a service.
type Way string

// The ways there are.
const (
	Forward Way = "forward" // a port of the client's host that servald forward listens at
	Socks   Way = "SOCKS5"  // servald's SOCKS5 proxy, or for what knows none its HTTP proxy
	Exec    Way = "exec"    // servald exec in front of the command
	TUN     Way = "TUN"     // names and addresses that lead into servald on the whole host
	Capture Way = "capture" // the same by rules of nftables, without a device
)

// Ways is all of them.
var Ways = []Way{Forward, Exec, Socks, TUN, Capture}

// Forwards leads a port of the client's host to a service and returns its address. For
// TCP or UDP it starts a servald forward. Where it is for both, servald run does it:
// only one process can see that both are one client's.
func (s *Stage) Forwards(ctx context.Context, tcp, udp bool, service string) (at string, err error) {
	if !udp {
		_, at, err = s.StartForward(ctx, "127.0.0.1:0", service)
		return at, err
	}
	if at, err = s.freePort(); err != nil {
		return "", err
	}
	if !tcp {
		_, _, err = s.StartForward(ctx, "udp:"+at, service)
		return at, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, listen := range []string{at, "udp:" + at} {
		s.forwards += fmt.Sprintf("\n[[forward]]\nlisten = %q\nname = %q\n", listen, service)
	}
	return at, s.reconfigure(ctx, s.enabled)
}

// StartForward starts a servald forward, with further arguments, and returns its
// process and where it listens.
func (s *Stage) StartForward(ctx context.Context, at, service string, args ...string) (*fleet.Process, string, error) {
	p, err := s.Client.Start("forward "+service, append([]string{s.Fleet.Servald, "forward", at, service}, args...)...)
	if err != nil {
		return nil, "", err
	}
	said, err := p.Expect(ctx, `^forwarding (\S+) to`)
	if err != nil {
		return nil, "", fmt.Errorf("servald forward %s %s: %w", at, service, err)
	}
	return p, said, nil
}

func (s *Stage) freePort() (at string, err error) {
	err = s.hosts[0].Do(func() (err error) {
		at, err = fleet.FreePort("127.0.0.1")
		return err
	})
	return at, err
}
