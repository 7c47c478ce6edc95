package cli

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/spf13/pflag"

	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/relay"
)

// clientFlags are those of commands that let programs in which know nothing of Serval.
type clientFlags struct {
	timeout, drain, udpIdle time.Duration
	max                     int
	pin                     bool
	clients                 []string
}

// add adds the flags; most is what --max is by default, in words.
func (f *clientFlags) add(flags *pflag.FlagSet, most string) {
	flags.DurationVarP(&f.timeout, "timeout", "t", outbound.DefaultTimeout, "give up dialling after this time")
	flags.DurationVar(&f.drain, "drain", drainDefault, drainHelp)
	flags.IntVar(&f.max, "max", 0, "connections handled at once, of which one client gets three quarters (default "+most+")")
	flags.BoolVar(&f.pin, "pin", true, "keep a client with one instance while it has connections to it, as programs that open several expect")
	flags.StringSliceVar(&f.clients, "clients", nil, "`prefixes` of the addresses that clients may have (default all)")
}

// addUDP adds those of commands that take datagrams, too.
func (f *clientFlags) addUDP(flags *pflag.FlagSet) {
	flags.DurationVar(&f.udpIdle, "udp-idle", relay.DefaultIdle, "how long an exchange of datagrams is remembered that nobody continues")
}

// settings are how the flags say that clients are let in.
func (f *clientFlags) settings(log *slog.Logger) (door.Settings, error) {
	clients, err := f.prefixes()
	return door.Settings{Clients: clients, Max: f.max, Drain: f.drain, Log: log}, err
}

// prefixes returns the addresses that clients may have.
func (f *clientFlags) prefixes() ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range f.clients {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return nil, usageError{err}
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// withOutbound runs f with a node that connects clients as the flags say.
func (a *App) withOutbound(ctx context.Context, flags *clientFlags, f func(*outbound.Outbound) error) error {
	a.window = outbound.Window
	return a.withNode(ctx, func(n node) error {
		return f(outbound.New(outbound.Config{Node: n.Serval(), Timeout: flags.timeout, NoPin: !flags.pin, Log: a.logger()}))
	})
}

// listening is what commands print with --json once they listen.
type listening struct {
	Address string `json:"address"`
	Service string `json:"service,omitempty"`
}

// tellListening says where a command listens, and for what.
func (a *App) tellListening(at net.Addr, service, text string) {
	address := at.String()
	if at.Network() != "tcp" {
		address = at.Network() + ":" + address
	}
	if a.json {
		a.printJSON(listening{address, service})
		return
	}
	a.note(text, address)
}

// serveLocal listens at a local address, says so, and serves it until ctx is done.
func (a *App) serveLocal(ctx context.Context, addr, text string, serve func(context.Context, net.Listener) error) error {
	network, address, err := local(addr)
	if err != nil {
		return err
	}
	if network == "udp" {
		return usageError{errUDP}
	}
	ln, err := door.Listen(ctx, network, address)
	if err != nil {
		return err
	}
	a.tellListening(ln.Addr(), "", text)
	return serve(ctx, ln)
}
