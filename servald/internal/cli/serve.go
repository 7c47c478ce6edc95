package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/splice"
)

func (a *App) serveCommand() *cobra.Command {
	var to string
	var flags instanceFlags
	p := &splice.Proxy{}
	cmd := &cobra.Command{
		Use:   "serve NAME (--to HOST:PORT | -- COMMAND [ARG]...)",
		Short: "Put a TCP server, or a command for each connection, behind a name",
		Long: `serve makes this host an instance of the service. With --to every connection is
passed on to a TCP server; host:port may also be unix:PATH. With a command, one is
started for each connection, with the connection as its standard input and output, as
inetd does; it finds the service in SERVAL_SERVICE and the caller in SERVAL_PEER.

` + instanceHelp + `

When it is told to stop, serve withdraws the name at once and lets open connections go
on for the time of --drain.`,
		Example: `  servald serve svc:web --to localhost:80
  servald serve svc:web --to localhost:80 --check http://localhost/health --weight 2
  servald serve svc:time -- date -u`,
		Args: func(cmd *cobra.Command, args []string) error {
			command := cmd.ArgsLenAtDash() >= 0 && len(args) > 1
			if len(args) == 0 || cmd.ArgsLenAtDash() == 0 || (!command && len(args) > 1) {
				return errors.New("serve takes one NAME, and then --to HOST:PORT or -- COMMAND")
			}
			if command == (to != "") {
				return errors.New("say what serves the name: either --to HOST:PORT or -- COMMAND")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			what := to
			dial := func(ctx context.Context) (net.Conn, error) { return dialLocal(ctx, to) }
			p.Handle = splice.To(dial)
			if to == "" {
				dial = nil
				path, err := exec.LookPath(args[1])
				if err != nil {
					return err
				}
				what = path
				p.Handle = func(ctx context.Context, conn net.Conn) error {
					return a.serveCommandOn(ctx, conn, args[0], path, args[1:])
				}
			}
			options, err := flags.parse(dial)
			if err != nil {
				return err
			}
			return a.withNode(cmd.Context(), func(n node) error {
				return a.serveInstance(cmd.Context(), n, args[0], p, options, func(ln net.Listener) {
					a.note("serving %s with %s", ln.Addr(), what)
				})
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "TCP server, `host:port`, or unix:PATH")
	flags.add(cmd)
	proxyFlags(cmd, p)
	return cmd
}

func (a *App) serveCommandOn(ctx context.Context, conn net.Conn, name, path string, args []string) error {
	return splice.Command(ctx, conn, &exec.Cmd{
		Path: path, Args: args, Stderr: a.errWriter(),
		Env: append(os.Environ(), "SERVAL_SERVICE="+name, "SERVAL_PEER="+conn.RemoteAddr().String()),
	})
}

// proxy serves until ctx is done, noting each connection with -v.
func (a *App) proxy(ctx context.Context, p *splice.Proxy, ln net.Listener) error {
	p.Log = a.logger()
	p.Quiet = isQuiet
	handle := p.Handle
	p.Handle = func(ctx context.Context, conn net.Conn) error {
		p.Log.Debug("accepted", "from", conn.RemoteAddr())
		return handle(ctx, conn)
	}
	return p.Serve(ctx, ln)
}

// quiet is how long nothing came or went on a connection that may be ended without
// cutting an answer short.
const quiet = 200 * time.Millisecond

func isQuiet(conn net.Conn) bool {
	c, ok := conn.(*serval.Conn)
	return !ok || c.Stats().SinceLastPacket > quiet
}

func proxyFlags(cmd *cobra.Command, p *splice.Proxy) {
	cmd.Flags().DurationVar(&p.Drain, "drain", 10*time.Second, "how long open connections may go on after a signal to stop")
	cmd.Flags().IntVar(&p.MaxConns, "max", 4096, "connections handled at once")
}
