//go:build linux

package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Where the proxies of the client's host listen, once enabled.
const (
	SocksAt = "127.0.0.1:1080"
	HTTPAt  = "127.0.0.1:3128"
)

const proxies = `
[socks5]
listen = ["` + SocksAt + `"]
[http_proxy]
listen = ["` + HTTPAt + `"]
`

const names = `
[dns]
resolv_conf = "file"
`

const device = names + "[tun]\n"

const rules = names + `
[[capture]]
mode = "tproxy"
`

// configurations are what ways need, of those that need any.
var configurations = map[Way]string{Socks: proxies, TUN: device, Capture: rules}

// config is the configuration of the client's servald.
func (s *Stage) config() string { return filepath.Join(s.dir, "servald.toml") }

// configure writes it.
func (s *Stage) configure(text string) error {
	return os.WriteFile(s.config(), []byte(text), 0o600)
}

// Configure gives the client's servald a configuration, which it takes up without a
// new start.
func (s *Stage) Configure(ctx context.Context, text string) error {
	if err := s.configure(text); err != nil {
		return err
	}
	_, err := Run(ctx, s.Client, nil, s.Fleet.Servald, "reload")
	return err
}

// Enable prepares the client's host for a way, if that needs anything.
func (s *Stage) Enable(ctx context.Context, way Way) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.enabled == way {
		return nil
	}
	if configurations[way] == "" {
		return nil
	}
	if err := s.reconfigure(ctx, way); err != nil {
		return err
	}
	s.enabled = way
	return nil
}

// reconfigure tells the client's servald what a way and the forwards need. The stage
// must be locked.
func (s *Stage) reconfigure(ctx context.Context, way Way) error {
	if err := s.Configure(ctx, configurations[way]+s.forwards); err != nil {
		return fmt.Errorf("servald of the client's host, for %s: %w", way, err)
	}
	return nil
}
