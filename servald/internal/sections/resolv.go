package sections

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/resolvconf"
)

// hostServers is the DNS servers that the host has.
func hostServers() ([]string, error) { return resolvconf.Servers("") }

// resolvConf points the programs of the host at the DNS server.
func (r *Runner) resolvConf(ctx context.Context, mode string, at netip.AddrPort, link string) (component.Running, error) {
	if _, err := r.names.get(r); err != nil {
		return component.Running{}, err
	}
	setup, err := resolvconf.Set(ctx, resolvconf.Config{Mode: mode, Server: at, Link: link, Logger: r.env.Log}, func(servers []string) {
		if err := r.names.found(servers); err != nil {
			r.env.Log.Warn("other DNS servers of this host are not used", "servers", servers, "err", err)
		}
	})
	if err != nil {
		return component.Running{}, err
	}
	if err := r.names.found(setup.Servers()); err != nil {
		setup.Close()
		return component.Running{}, err
	}
	done := make(chan struct{})
	var once sync.Once
	var failed error
	return component.Running{
		Done: done, Err: func() error { return failed },
		Close: func() {
			once.Do(func() {
				if failed = setup.Close(); failed != nil {
					r.env.Log.Error("the host's DNS settings are not as they were", "err", failed)
				}
				close(done)
			})
		},
		Info: func() string {
			return fmt.Sprintf("%s, other names by %s", setup.Mode(), strings.Join(setup.Servers(), " "))
		},
	}, nil
}
