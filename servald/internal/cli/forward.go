package cli

import (
	"context"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/servald/internal/splice"
)

func (a *App) forwardCommand() *cobra.Command {
	var timeout time.Duration
	p := &splice.Proxy{}
	cmd := &cobra.Command{
		Use:   "forward ADDRESS NAME",
		Short: "Let programs that know only TCP reach a service at a local address",
		Long: `forward listens on a local TCP address (host:port, a port alone for localhost, or
unix:PATH) and connects each connection to an instance of the service, chosen anew
each time. Port 0 takes a free one, which is printed. With -v each connection's
instance is shown.`,
		Example: `  servald forward localhost:8080 svc:web &
  curl http://localhost:8080/`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeServices(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ln, err := listenLocal(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer ln.Close()
			return a.withNode(cmd.Context(), func(n node) error {
				a.note("forwarding %s to %s", ln.Addr(), args[1])
				p.Handle = splice.To(func(ctx context.Context) (net.Conn, error) {
					return a.dial(ctx, n, args[1], timeout)
				})
				return a.proxy(cmd.Context(), p, ln)
			})
		},
	}
	timeoutFlag(cmd, &timeout)
	proxyFlags(cmd, p)
	return cmd
}
