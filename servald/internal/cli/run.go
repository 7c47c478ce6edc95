package cli

import (
	"cmp"
	"context"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/daemon"
	"github.com/serval-net/serval/servald/internal/notify"
)

func (a *App) runCommand() *cobra.Command {
	var gossip, advertise, rendezvous, forward, file string
	var above, aggregate []string
	var limits resolver.Limits
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Keep this host in the cluster, and serve programs that know nothing of Serval",
		Long: `run gossips with the other members, and lets the programs of this user find and
register services over the control socket. It prints a line that begins with "ready"
once it can be used, and tells systemd so if that started it. It needs no privileges.

What it does for programs that know nothing of Serval (servers behind names, local
ports, DNS, a TUN, proxies) says a configuration file; see servald config. It is read
again on SIGHUP and by servald reload, without dropping a connection. Without a file
nothing of that is done.

The socket speaks HTTP and JSON:

  curl --unix-socket $SOCKET http://serval/v1/services`,
		Example: `  servald run --gossip 192.0.2.1:7946
  servald run --config ./servald.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, sections, err := a.loadConfig(file)
			if err != nil {
				return err
			}
			cfg, err := a.daemonConfig(cmp.Or(gossip, sections.Gossip.Listen), cmp.Or(advertise, sections.Gossip.Advertise), cmp.Or(rendezvous, sections.Gossip.Rendezvous))
			if err != nil {
				return err
			}
			if err := a.addSections(&cfg, path, sections); err != nil {
				return err
			}
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			cfg.Hangup = hangup
			cfg.Above, cfg.Aggregate, cfg.Limits = above, aggregate, limits
			if forward != "" {
				if cfg.Forward, err = parseAddr(forward); err != nil {
					return err
				}
			}
			err = daemon.Run(cmd.Context(), cfg, func(s daemon.Status) {
				a.note("ready: node %s of cluster %s, gossip at %s, control socket %s", s.Node[:8], s.Cluster[:8], s.Gossip, s.Socket)
				for _, c := range s.Sections {
					if c.State == component.Failed {
						a.note("%s %s does not run, and is tried again: %s", c.Kind, c.Name, c.Error)
					}
				}
				if err := notify.Ready("gossip at " + s.Gossip); err != nil {
					a.note("%v", err)
				}
				context.AfterFunc(cmd.Context(), func() { notify.Stopping() })
			})
			return err
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `file` (default $SERVAL_CONFIG, else /etc/serval/servald.toml for root and servald.toml beside the keys for others, if it is there)")
	cmd.MarkFlagFilename("config", "toml")
	cmd.Flags().StringVar(&gossip, "gossip", "", "`address`[:port] for gossip (default the seed that this host is itself, else a free port where the first seed is reached)")
	cmd.Flags().StringVar(&advertise, "advertise", "", "`address:port` to tell others instead, behind a NAT")
	cmd.Flags().StringVar(&rendezvous, "rendezvous", "", "UDP `address`[:port] where connections whose ends both moved can meet, or none (default the addresses for data)")
	cmd.Flags().StringVar(&forward, "forward", "", "UDP `address`[:port] where this host forwards first packets, as a service router (default it does not)")
	cmd.Flags().StringSliceVar(&above, "above", nil, "gossip `addresses` of a wider domain of the cluster, to whose services it forwards too")
	cmd.Flags().StringSliceVar(&aggregate, "aggregate", nil, "`names`, such as svc:shop/*, that this host forwards for all of the wider domain")
	cmd.Flags().IntVar(&limits.Records, "records", resolver.MaxRecords, "the most `registrations` of the whole cluster to hold, about 1,100 bytes each; the same on all hosts")
	cmd.Flags().IntVar(&limits.PerNode, "records-per-node", resolver.MaxRecordsPerNode, "the most `registrations` of one node")
	return cmd
}

func (a *App) daemonConfig(gossip, advertise, rendezvous string) (daemon.Config, error) {
	h, err := a.openHome()
	if err != nil {
		return daemon.Config{}, err
	}
	cfg := daemon.Config{Socket: a.socketPath(), Remember: h.SavePeers, Logger: a.logger()}
	if cfg.Identity, err = h.Identity(); err != nil {
		return cfg, err
	}
	if cfg.Token, err = h.Token(); err != nil {
		return cfg, err
	}
	cfg.Seeds = append(cfg.Token.Seeds(), h.Peers()...)
	if len(a.join) > 0 {
		cfg.Seeds = a.join
	} else if text := os.Getenv("SERVAL_JOIN"); text != "" {
		cfg.Seeds = strings.Split(text, ",")
	}
	cfg.Gossip = daemon.BindTo(cfg.Token.Seeds())
	if cfg.NoRendezvous = rendezvous == "none"; cfg.NoRendezvous {
		rendezvous = ""
	}
	for _, arg := range []struct {
		text string
		to   *netip.AddrPort
	}{{gossip, &cfg.Gossip}, {advertise, &cfg.Advertise}, {rendezvous, &cfg.Rendezvous}} {
		if arg.text == "" {
			continue
		}
		if *arg.to, err = parseAddr(arg.text); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}
