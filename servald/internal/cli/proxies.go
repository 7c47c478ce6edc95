package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/httpproxy"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/socks"
)

// proxyOptions are the flags of both kinds of proxies.
type proxyOptions struct {
	clientFlags
	foreign   outbound.Foreign
	usersFile string
	handshake time.Duration
}

func (o *proxyOptions) add(flags *pflag.FlagSet) {
	o.clientFlags.add(flags, "16384")
	flags.TextVar(&o.foreign, "foreign", outbound.ForeignNone, "destinations besides services: none, public (what has a public address) or any")
	flags.DurationVar(&o.handshake, "handshake", door.DefaultHandshake, "how long a client may take to say what it wants")
	flags.StringVar(&o.usersFile, "users", "", "`file` of who may use the proxy: NAME:PASSWORD on each line (default everybody)")
}

// users reads the file of users.
func (o *proxyOptions) users() (door.Users, error) {
	if o.usersFile == "" {
		return nil, nil
	}
	f, err := os.Open(o.usersFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 && os.PathSeparator == '/' {
		return nil, fmt.Errorf("%s holds passwords and everybody may read it; run chmod o-r %[1]s", o.usersFile)
	}
	users := make(door.Users)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok || name == "" || password == "" || len(name) > 255 || len(password) > 255 {
			return nil, fmt.Errorf("%s:%d: write NAME:PASSWORD, each of at most 255 bytes", o.usersFile, n)
		}
		users[name] = password
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", o.usersFile, err)
	}
	if len(users) == 0 {
		return nil, errors.New(o.usersFile + " names no users, so nobody could use the proxy")
	}
	return users, nil
}

const proxyHelp = `The proxy listens on localhost unless told otherwise, and leads to services only unless
--foreign says more: to names that end in .svc.serval, and, where servald runs, to their
virtual IPv6 addresses. It refuses to lead everywhere for everybody on the network. With
-v each connection's instance is shown.`

func (a *App) socks5Command() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "socks5 [ADDRESS]",
		Short: "Let programs that can use a SOCKS5 proxy reach all services",
		Long: `socks5 is a SOCKS5 proxy at ADDRESS (default localhost:1080) for all services, by TCP and
UDP. Programs should leave names to the proxy, which curl calls socks5h.

` + proxyHelp,
		Example: `  servald socks5 &
  curl --proxy socks5h://localhost:1080 http://web.svc.serval/
  ssh -o 'ProxyCommand nc -X 5 -x localhost:1080 %h %p' build.svc.serval`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runProxy(cmd.Context(), &o, append(args, config.DefaultSOCKS5)[0], "SOCKS5 proxy at %s",
				func(p door.ProxySettings) server { return &socks.Server{ProxySettings: p, UDPIdle: o.udpIdle} })
		},
	}
	o.add(cmd.Flags())
	o.addUDP(cmd.Flags())
	return cmd
}

func (a *App) httpProxyCommand() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "http-proxy [ADDRESS]",
		Short: "Let programs that can use an HTTP proxy reach all services",
		Long: `http-proxy is an HTTP proxy at ADDRESS (default localhost:3128) for all services: for
http:// addresses, and by CONNECT for everything else that programs send through HTTP
proxies. Browsers find its automatic configuration, which leads them here for services
only, at http://ADDRESS/proxy.pac.

` + proxyHelp,
		Example: `  servald http-proxy &
  http_proxy=http://localhost:3128 curl http://web.svc.serval/
  chromium --proxy-pac-url=http://localhost:3128/proxy.pac http://web.svc.serval/`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runProxy(cmd.Context(), &o, append(args, config.DefaultHTTPProxy)[0], "HTTP proxy at %s",
				func(p door.ProxySettings) server { return &httpproxy.Server{ProxySettings: p} })
		},
	}
	o.add(cmd.Flags())
	return cmd
}

// server is a proxy.
type server interface {
	Serve(ctx context.Context, ln net.Listener) error
}

func (a *App) runProxy(ctx context.Context, o *proxyOptions, addr, text string, build func(door.ProxySettings) server) error {
	p := door.ProxySettings{Handshake: o.handshake}
	var err error
	if p.Users, err = o.users(); err != nil {
		return err
	}
	if p.Settings, err = o.settings(a.logger()); err != nil {
		return err
	}
	return a.withOutbound(ctx, &o.clientFlags, func(out *outbound.Outbound) error {
		pool, _, forget, err := openAddresses(a.logger())
		if err != nil {
			return err
		}
		defer forget()
		p.Destinations = &outbound.Destinations{Outbound: out, Foreign: o.foreign, Names: pool}
		return a.serveLocal(ctx, addr, text, build(p).Serve)
	})
}
