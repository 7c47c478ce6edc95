package cli

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/expose"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

func (a *App) serveCommand() *cobra.Command {
	var c expose.Config
	cmd := &cobra.Command{
		Use:   "serve NAME (--to ADDRESS [--on-demand -- COMMAND [ARG]...] | -- COMMAND [ARG]...)",
		Short: "Put a server, or a command for each connection, behind a name",
		Long: `serve makes this host an instance of the service. With --to every connection is
passed on to a server, here or on another host that need not know of Serval:

  host:port, port      TCP
  host                 TCP, at the port that the client says; --ports bounds it
  unix:PATH            a Unix socket
  udp:host[:port]      UDP; each client has a socket of its own, and the server may
                       answer from other ports, as tftp does
  tcp+udp:host[:port]  both, as name servers have them

With a command, one is started for each connection, with the connection as its standard
input and output, as inetd does. It finds the service in SERVAL_SERVICE, and the caller
in SERVAL_PEER, SERVAL_PEER_NODE, SERVAL_PEER_NAME and SERVAL_PEER_ADDR.

With both and --on-demand the command is the server: it is started when somebody dials,
connections wait until it listens, and it is stopped when nobody has used it for the
time of --idle-stop.

A server sees connections from this host. With --proxy v2 each begins with a header of
the PROXY protocol that has the caller's address, or with --proxy-address virtual one
that stands for its node for ever, and in TLVs its identity.

` + instanceHelp + `

When it is told to stop, serve withdraws the name at once and lets open connections go
on for the time of --drain; what is in the middle of something then is reset. With
--json it prints an object when the name is registered.`,
		Example: `  servald serve svc:web --to localhost:80
  servald serve svc:web --to localhost:80 --check http://localhost/health --weight 2
  servald serve svc:db --to db.example.net:5432 --check tcp
  servald serve svc:dns --to tcp+udp:localhost:53
  servald serve svc:ci --to localhost:8080 --on-demand -- ./ci-server --port 8080
  servald serve svc:time -- date -u`,
		Args: func(cmd *cobra.Command, args []string) error {
			command := cmd.ArgsLenAtDash() >= 0 && len(args) > 1
			switch {
			case len(args) == 0 || cmd.ArgsLenAtDash() == 0 || (!command && len(args) > 1):
				return errors.New("serve takes one NAME, and then --to ADDRESS or -- COMMAND")
			case command == (c.To != "") && !c.OnDemand:
				return errors.New("say what serves the name: either --to ADDRESS or -- COMMAND, or both with --on-demand")
			}
			c.Name, c.Command = args[0], args[1:]
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.Weight < 1 {
				return usageError{errors.New("the weight of an instance is at least 1; to take it out of service, drain it")}
			}
			if c.CheckEvery == 0 {
				return usageError{errors.New("--check-every must be more than 0, such as 2s")}
			}
			if err := c.Validate(); err != nil {
				return usageError{err}
			}
			a.window = outbound.Window
			return a.withNode(cmd.Context(), func(n node) error {
				s := &expose.Server{Node: n, Config: c, Note: a.note, Log: a.logger(), Output: a.errWriter()}
				s.Ready = func(addr net.Addr) {
					a.note("serving %s with %s", addr, s.Status().To)
					if a.json {
						a.printJSON(served{addr.String(), s.Status().To})
					}
				}
				return s.Run(cmd.Context())
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.To, "to", "", "where the server is: `host:port`, host, unix:PATH, udp:host[:port] or tcp+udp:host[:port]")
	flags.StringSliceVar(&c.Ports, "ports", nil, "`ports` and ranges of them, such as 22,8000-8099, that clients may ask for if --to has none")
	flags.BoolVar(&c.OnDemand, "on-demand", false, "start COMMAND, which listens at --to, when somebody dials")
	flags.DurationVar(&c.StartTimeout, "start-timeout", expose.DefaultStartTimeout, "how long COMMAND may take on demand until it listens")
	flags.DurationVar(&c.IdleStop, "idle-stop", expose.DefaultIdleStop, "stop COMMAND when nobody has used it for so long; less than 0 is never")
	flags.StringVar(&c.Proxy, "proxy", "", "tell the server who calls: v2 is the `version` of the PROXY protocol")
	flags.StringVar(&c.ProxyAddress, "proxy-address", expose.AddressUnderlay, "the caller's `address` that it is told: underlay or virtual")
	flags.IntVar(&c.MaxPerClient, "max-per-client", 0, "connections that one node may have at once, 0 for as many as there is room for")
	flags.IntVar(&c.Backlog, "backlog", 0, "connections that may wait for room beyond --max (default 1024)")
	flags.DurationVar(&c.DialTimeout, "dial-timeout", expose.DefaultDialTimeout, "how long the server may take to accept a connection")
	flags.DurationVar(&c.Idle, "idle", 0, "end connections on which nothing comes or goes for so long; 0 is never")
	flags.DurationVar(&c.UDPIdle, "udp-idle", expose.DefaultUDPIdle, "forget clients of UDP of whom nothing comes or goes for so long")
	instanceOptions(flags, &c)
	flags.DurationVar(&c.Drain, "drain", drainDefault, drainHelp)
	flags.IntVar(&c.Max, "max", expose.DefaultMax, maxHelp)
	for flag, values := range map[string][]string{"proxy": {expose.ProxyV2}, "proxy-address": {expose.AddressUnderlay, expose.AddressVirtual}} {
		cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// served is what serve prints with --json, once the name is registered.
type served struct {
	Instance string `json:"instance"`
	To       string `json:"to"`
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

const (
	drainDefault = 10 * time.Second
	drainHelp    = "how long open connections may go on after a signal to stop"
	maxHelp      = "connections handled at once"
)

func proxyFlags(cmd *cobra.Command, p *splice.Proxy) {
	cmd.Flags().DurationVar(&p.Drain, "drain", drainDefault, drainHelp)
	cmd.Flags().IntVar(&p.MaxConns, "max", expose.DefaultMax, maxHelp)
}
