package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/servald/internal/dns"
	"github.com/serval-net/serval/servald/internal/exec"
	"github.com/serval-net/serval/servald/internal/exit"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/resolvconf"
	"github.com/serval-net/serval/servald/internal/tun"
	"github.com/serval-net/serval/servald/internal/vaddr"
	"github.com/serval-net/serval/servald/internal/virtual"
)

func (a *App) execCommand() *cobra.Command {
	carrier := -1
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a program that knows nothing of Serval, with services among its hosts",
		Long: `exec runs a program for which NAME.svc.serval is a host like any other, whatever port
it asks for. Everything else on the network, and what listens on localhost, is there
for it as before. The program needs no settings and is not changed: it has a network
namespace of its own, which leads here. That needs no privileges where the system lets
users make namespaces.

Arguments, environment, working directory, open files, terminal and signals are the
program's as if it had been started directly; its exit code is passed on, and if a
signal ends it, the same signal ends servald.

Exit codes: the program's, but 125 if servald failed, 126 if the program cannot be
run, and 127 if there is no such program.`,
		Example: `  servald exec -- curl http://web.svc.serval/
  servald exec -- ssh build.svc.serval
  servald exec -- bash`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if carrier >= 0 {
				return exec.Carry(cmd.Context(), carrier, exec.Config{
					Command: args, Open: a.openLegacy, Verbose: a.verbose, Log: a.logger()})
			}
			code, err := exec.Front(args, func(fd int) []string {
				return append([]string{fmt.Sprintf("--carrier=%d", fd)}, a.args...)
			})
			if err != nil {
				return err
			}
			return endedWith(code)
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().IntVar(&carrier, "carrier", -1, "")
	cmd.Flags().MarkHidden("carrier")
	return cmd
}

// endedWith is the exit code of a program that was run; there is nothing to say of it.
type endedWith int

func (e endedWith) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// openLegacy starts what the traffic of a program leads to: a node of its own for
// services, with virtual addresses that only this program sees, and this host's
// sockets for the rest.
func (a *App) openLegacy(ctx context.Context) (tun.Handler, func() error, error) {
	n, err := a.open(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	h, end, err := a.legacyHandler(n)
	if err != nil {
		n.Close()
		return nil, nil, err
	}
	return h, func() error {
		end()
		return n.Close()
	}, nil
}

func (a *App) legacyHandler(n node) (tun.Handler, func(), error) {
	st, ok := n.(stack)
	if !ok {
		return nil, nil, fmt.Errorf("a %T cannot be dialled from a program", n)
	}
	pool, err := vaddr.Open("", vaddr.Config{Logger: a.logger()})
	if err != nil {
		return nil, nil, err
	}
	upstream, err := resolvconf.Servers("")
	if err != nil {
		a.logger().Warn("names outside of Serval cannot be looked up", "err", err)
	}
	server, err := dns.New(dns.Config{Pool: pool, Known: st.Known, Upstream: upstream, WithoutIPv6: !exec.HasIPv6(), Logger: a.logger()})
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return &virtual.Handler{
			Names: pool, DNS: server, Services: outbound.New(outbound.Config{Node: st.Node, Log: a.logger()}),
			Exit: exit.New(exit.Config{Log: a.logger()}),
			// All processes of the program are one client, also if it has two addresses.
			Client: outbound.Client{Via: "exec", Session: "exec"},
		}, func() {
			server.Close()
			pool.Close()
		}, nil
}
