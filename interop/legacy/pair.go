//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// pair puts two HAProxies between the client and the server, one on each host, as the
// two servalds are: it shows what passing on alone costs, without encryption and the
// rest. It returns the address for the client.
func (s *site) pair(ctx context.Context) (host, port string, err error) {
	path, err := stage.Find("haproxy")
	if err != nil {
		return "", "", err
	}
	near, far := "127.0.0.1:5301", net.JoinHostPort(s.Server.Addr, "5302")
	for _, p := range []struct {
		host     *fleet.Host
		name     string
		from, to string
	}{{s.Server, "far", far, s.server}, {s.Client, "near", near, far}} {
		file := filepath.Join(s.Dir(), p.name+".cfg")
		if err := os.WriteFile(file, fmt.Appendf(nil, pairConfig, p.from, p.to), 0o644); err != nil {
			return "", "", err
		}
		proxy, err := p.host.Start("haproxy, "+p.name, path, "-db", "-f", file)
		if err != nil {
			return "", "", err
		}
		if err := listens(ctx, p.host, p.from); err != nil {
			return "", "", fmt.Errorf("%w:\n%s", err, proxy.Tail())
		}
	}
	host, port, err = net.SplitHostPort(near)
	return host, port, err
}

const pairConfig = `
global
  nbthread 2
  maxconn 8192
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen all
  bind %s
  server one %s
`
