package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/servald/internal/exec"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/tun"
)

func (a *App) execCommand() *cobra.Command {
	carrier := -1
	var timeout time.Duration
	var pin bool
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
					Command: args, Open: func(ctx context.Context) (tun.Handler, func() error, error) {
						out := outbound.Config{Timeout: timeout, NoPin: !pin}
						if a.verbose { // else the program says itself what failed
							out.Log = a.logger()
						}
						return a.openProgram(ctx, out)
					}, Verbose: a.verbose, Log: a.logger()})
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
	cmd.Flags().DurationVarP(&timeout, "timeout", "t", outbound.DefaultTimeout, "give up dialling after this time")
	cmd.Flags().BoolVar(&pin, "pin", true, "keep the program with one instance while it has connections to it, as programs that open several expect")
	cmd.Flags().IntVar(&carrier, "carrier", -1, "")
	cmd.Flags().MarkHidden("carrier")
	return cmd
}

// endedWith is the exit code of a program that was run; there is nothing to say of it.
type endedWith int

func (e endedWith) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
