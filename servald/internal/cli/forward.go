package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/forward"
	"github.com/serval-net/serval/servald/internal/outbound"
)

func (a *App) forwardCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "forward ADDRESS NAME[:PORT]",
		Short: "Let programs that know nothing of Serval reach a service at a local address",
		Long: `forward listens at a local address (host:port, a port alone for localhost,
udp:host:port or unix:PATH) and connects each client to an instance of the service.
Port 0 takes a free one, which is printed. With -v each connection's instance is shown.

While a client has connections it stays with one instance, as programs that open
several expect; --pin=false chooses anew for each. Clients are told apart by their
addresses, and at a Unix socket by their processes.

PORT is the port of the service, for servers that have several; with udp: it is
otherwise that of ADDRESS. Answers by UDP from another port of the service come from
another port of this host.`,
		Example: `  servald forward localhost:8080 svc:web &
  curl http://localhost:8080/

  servald forward udp:localhost:5353 svc:dns &
  dig @localhost -p 5353 example.com`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeServices(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			network, address, err := local(args[0])
			if err != nil {
				return err
			}
			s := &forward.Server{UDPIdle: flags.udpIdle}
			if s.Service, s.Port, err = serviceAndPort(args[1]); err != nil {
				return err
			}
			if s.Settings, err = flags.settings(a.logger()); err != nil {
				return err
			}
			// What cannot be listened at is told before there is a node.
			var serve func(context.Context) error
			var at net.Addr
			if network == "udp" {
				conn, err := door.ListenUDP(cmd.Context(), address)
				if err != nil {
					return err
				}
				defer conn.Close()
				at, serve = conn.LocalAddr(), func(ctx context.Context) error { return s.ServePacket(ctx, conn) }
			} else {
				ln, err := door.Listen(cmd.Context(), network, address)
				if err != nil {
					return err
				}
				defer ln.Close()
				at, serve = ln.Addr(), func(ctx context.Context) error { return s.Serve(ctx, ln) }
			}
			return a.withOutbound(cmd.Context(), &flags, func(o *outbound.Outbound) error {
				s.Outbound = o
				a.tellListening(at, s.Service, "forwarding %s to "+args[1])
				return serve(cmd.Context())
			})
		},
	}
	flags.add(cmd.Flags(), "16384, or 4096 clients of UDP")
	flags.addUDP(cmd.Flags())
	return cmd
}

// serviceAndPort splits NAME[:PORT].
func serviceAndPort(text string) (service string, port uint16, err error) {
	name, err := sal.ParseName(text)
	if err != nil {
		return "", 0, err
	}
	if name.IsWildcard() {
		return "", 0, usageError{fmt.Errorf("%v stands for many services; name one of them", name)}
	}
	if i := strings.LastIndexByte(strings.TrimPrefix(strings.ToLower(text), "svc:"), ':'); i >= 0 {
		n, _ := strconv.ParseUint(text[strings.LastIndexByte(text, ':')+1:], 10, 16) // ParseName has seen that it is one
		port = uint16(n)
	}
	return name.String(), port, nil
}

var errUDP = errors.New("this listens by TCP; it opens UDP ports by itself as clients need them")
