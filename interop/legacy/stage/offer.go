//go:build linux

package stage

import (
	"context"
	"time"

	"github.com/serval-net/serval/interop/internal/fleet"
)

// Offer makes a server of the server's host an instance of a service, with further
// arguments of servald serve, and waits until the client's host knows it. Its
// process is the instance.
func (s *Stage) Offer(ctx context.Context, service, to string, args ...string) (*fleet.Process, error) {
	p, err := s.Server.Start("serve "+service, append([]string{s.Fleet.Servald, "serve", service, "--to", to}, args...)...)
	if err != nil {
		return nil, err
	}
	if _, err := p.Expect(ctx, `^serving `); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.offered[service]++
	n := s.offered[service]
	s.mu.Unlock()
	return p, s.Known(ctx, service, n)
}

// Known waits until the client's host knows so many instances of a service.
func (s *Stage) Known(ctx context.Context, service string, n int) error {
	return s.Client.Known(ctx, 15*time.Second, service, n)
}
