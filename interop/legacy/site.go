//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// site is a stage with one legacy server, and the ways to it.
type site struct {
	*stage.Stage
	server string // address where the legacy server listens
}

// newSite starts a legacy server, whose command is made from the address where it is
// to listen, and offers it as svc:bench.
func newSite(ctx context.Context, build func(context.Context) (*stage.Stage, error), command func(host, port string) []string) (*site, error) {
	s, err := build(ctx)
	if err != nil {
		return nil, err
	}
	host := s.Server.Addr
	st := &site{Stage: s, server: host + ":" + benchPort}
	if err := st.start(ctx, command(host, benchPort)); err != nil {
		s.Close()
		return nil, err
	}
	return st, nil
}

const (
	benchPort    = "5201"
	benchService = "svc:bench"
	benchHost    = "bench.svc.serval"
)

func (s *site) start(ctx context.Context, command []string) error {
	path, err := stage.Find(command[0])
	if err != nil {
		return err
	}
	server, err := s.Server.Start(filepath.Base(command[0]), append([]string{path}, command[1:]...)...)
	if err != nil {
		return err
	}
	if err := listens(ctx, s.Server, s.server); err != nil {
		return fmt.Errorf("%w:\n%s", err, server.Tail())
	}
	return nil
}

// listens waits until somebody listens at the port of an address. Something else than
// a connection tells: some servers serve one client only.
func listens(ctx context.Context, h *fleet.Host, addr string) error {
	probe := fmt.Sprintf("for i in $(seq 200); do grep -qi ':%04X 00000000:0000 0A' /proc/net/tcp && exit 0; sleep 0.05; done; exit 1", netip.MustParseAddrPort(addr).Port())
	if _, err := stage.Run(ctx, h, nil, "/bin/sh", "-c", probe); err != nil {
		return fmt.Errorf("nobody listens at %s: %w", addr, err)
	}
	return nil
}

// offer starts servald serve for the server, and returns its process.
func (s *site) offer(ctx context.Context, args ...string) (*fleet.Process, error) {
	return s.Offer(ctx, benchService, s.server, args...)
}

// at is host and port where the client's host finds the server: by forward, by the
// TUN, by exec, or without Serval if the way is empty.
func (s *site) at(ctx context.Context, way stage.Way) (host, port string, err error) {
	at := s.server
	switch way {
	case stage.TUN:
		return benchHost, benchPort, s.Enable(ctx, way)
	case stage.Exec: // see client
		return benchHost, benchPort, nil
	case stage.Forward:
		if at, err = s.Forwards(ctx, true, false, benchService); err != nil {
			return "", "", err
		}
	}
	host, port, _ = strings.Cut(at, ":")
	return host, port, nil
}

// resident returns how much memory a process has, in bytes.
func resident(p *fleet.Process) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		var kB float64
		if n, _ := fmt.Sscanf(string(line), "VmRSS: %f kB", &kB); n == 1 {
			return kB * 1024, nil
		}
	}
	return 0, fmt.Errorf("%s does not say how much memory it has", p.Name)
}

// descriptors returns how many files a process has open.
func descriptors(p *fleet.Process) (int, error) {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	return len(all), err
}
