package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/servald/internal/splice"
)

func (a *App) dialCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "dial NAME",
		Short: "Connect standard input and output to a service, as netcat does",
		Long: `dial connects to an instance of the service, sends it standard input and prints what
it answers. The end of the input is passed on as a half-close; dial ends when the
service does.`,
		Example: `  printf 'GET / HTTP/1.0\r\n\r\n' | servald dial svc:web
  tar c . | servald dial svc:backup`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeServices(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withNode(cmd.Context(), func(n node) error {
				conn, err := a.dial(cmd.Context(), n, args[0], timeout)
				if err != nil {
					return err
				}
				return splice.Stdio(cmd.Context(), conn, a.in, a.out)
			})
		},
	}
	timeoutFlag(cmd, &timeout)
	return cmd
}

func timeoutFlag(cmd *cobra.Command, d *time.Duration) {
	cmd.Flags().DurationVarP(d, "timeout", "t", 10*time.Second, "give up dialling after this time")
}
