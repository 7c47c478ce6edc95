// Package sections runs what each section of servald's configuration asks for: it
// turns a configuration into components, which carry what they get over one node.
package sections

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/outbound"
)

// Env is what sections run in. Node is required.
type Env struct {
	Node *serval.Node

	// Services lists what is known, so that DNS tells names below which there are
	// services from those that do not exist. Nil does without.
	Services resolver.Lister

	// Addresses is the file that remembers virtual addresses, if the configuration
	// names none; "" forgets them.
	Addresses string

	Log    *slog.Logger // nil discards
	Output io.Writer    // gets what commands write to their standard error; nil drops it
}

// Runner runs sections. All methods are safe for concurrent use.
type Runner struct {
	env     Env
	out     *outbound.Outbound
	pool    pool
	names   names
	hints   hints
	manager *component.Manager
}

// New returns a Runner of nothing, and first undoes what one that was killed has left
// on the host. End it with Stop.
func New(env Env) *Runner {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	leftovers(context.Background(), env.Log)
	return &Runner{env: env, out: outbound.New(outbound.Config{Node: env.Node, Log: env.Log}), manager: component.NewManager(env.Log)}
}

// Apply makes what runs that of a configuration which was checked: only what is new,
// gone or different is touched. The error says what could not be started; it is tried
// again.
func (r *Runner) Apply(c *config.Config) (component.Changes, error) {
	r.out.Reconfigure(r.outbound(c))
	r.pool.configure(c.Addresses, r.env)
	r.hints.configure(c.Name)
	if err := r.names.configure(c.DNS); err != nil {
		return component.Changes{}, err
	}
	return r.manager.Apply(r.specs(c))
}

// Status says what runs.
func (r *Runner) Status() []component.Status { return r.manager.Status() }

// Stop ends everything: at once what takes new work, and after the time of drain what
// is open. The node must live until it returns.
func (r *Runner) Stop(drain config.Duration) {
	r.manager.Stop(drain.Duration)
	r.names.close()
	r.pool.close(r.env.Log)
}

// specs lists the components in the order in which they start.
func (r *Runner) specs(c *config.Config) (specs []component.Spec) {
	add := func(kind, name string, config any, start func(context.Context) (component.Running, error)) {
		specs = append(specs, component.Spec{Kind: kind, Name: name, Config: config, Start: start})
	}
	if t := c.TUN; t != nil {
		// Its settings are those of the start: another device would break connections.
		add("tun", t.Device, nil, func(ctx context.Context) (component.Running, error) { return r.tun(ctx, *t) })
	}
	if d := c.DNS; d != nil {
		for _, at := range d.Listen {
			add("dns", at.String(), nil, func(ctx context.Context) (component.Running, error) { return r.dns(ctx, at) })
		}
	}
	if d := c.DNS; d != nil && d.ResolvConf != "off" {
		link := ""
		if c.TUN != nil {
			link = c.TUN.Device
		}
		what := struct {
			at   netip.AddrPort
			link string
		}{d.Listen[0], link}
		add("resolv", d.ResolvConf, what, func(ctx context.Context) (component.Running, error) {
			return r.resolvConf(ctx, d.ResolvConf, what.at, what.link)
		})
	}
	if s := c.SOCKS5; s != nil {
		for _, at := range s.Listen {
			add("socks5", at.String(), *s, func(ctx context.Context) (component.Running, error) { return r.socks5(ctx, at, *s) })
		}
	}
	if s := c.HTTPProxy; s != nil {
		for _, at := range s.Listen {
			add("http", at.String(), *s, func(ctx context.Context) (component.Running, error) { return r.httpProxy(ctx, at, *s) })
		}
	}
	for _, s := range c.Expose {
		add("expose", s.Name.String(), s, func(ctx context.Context) (component.Running, error) { return r.expose(ctx, s) })
	}
	for _, s := range c.Capture {
		name := fmt.Sprintf("%s %s %v %v", s.Mode, s.From, s.To, s.Ports)
		if len(s.Users) > 0 {
			name += fmt.Sprintf(" of %v", s.Users)
		}
		if !s.Name.IsZero() {
			name += " to " + s.Name.String()
		}
		add("capture", name, s, func(ctx context.Context) (component.Running, error) { return r.capture(ctx, s) })
	}
	for _, s := range c.Forward {
		add("forward", s.Listen.String(), s, func(ctx context.Context) (component.Running, error) { return r.forward(ctx, s) })
	}
	return specs
}

// outbound is how programs reach services.
func (r *Runner) outbound(c *config.Config) outbound.Config {
	out := outbound.Config{Node: r.env.Node, Log: r.env.Log, DenyOthers: c.Clients.DenyOthers, NoPin: c.Clients.Pin != nil && !*c.Clients.Pin,
		PinFor: c.Clients.PinFor.Duration, Timeout: c.Clients.Timeout.Duration, MaxDials: c.Clients.MaxDials}
	for _, n := range c.Name {
		out.Rules = append(out.Rules, outbound.Rule{Name: n.Match, Clients: n.Clients, Deny: n.Deny, Policy: n.Policy,
			NoPin: n.Pin != nil && !*n.Pin, Timeout: n.Timeout.Duration})
	}
	return out
}
