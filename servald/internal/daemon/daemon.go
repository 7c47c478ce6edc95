// Package daemon is the part of servald that runs all the time: it gossips, and lets
// the programs of this host find and register services over the control socket. It
// carries no data; programs do that themselves.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/resolver/gossip"
)

// Config describes a daemon. Identity and Socket are required.
type Config struct {
	Identity *identity.Identity // of the host
	Token    *identity.Token    // admits programs of this host; nil admits none

	Socket    string         // path of the control socket
	Gossip    netip.AddrPort // address for gossip; zero chooses one
	Advertise netip.AddrPort // what to tell others instead, behind a NAT
	Seeds     []string       // host:port of other members' gossip

	Logger *slog.Logger // nil discards
}

// Run runs a daemon until ctx is done. ready is called once programs can use it.
func Run(ctx context.Context, cfg Config, ready func(Status)) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	self := cfg.Identity.Peer()
	if err := self.Valid(time.Now()); err != nil {
		return err
	}
	// The socket comes first: it tells whether another daemon runs.
	ln, err := control.Listen(cfg.Socket)
	if err != nil {
		return err
	}
	defer ln.Close()
	g, err := gossip.New(gossip.Config{Identity: cfg.Identity, Bind: cfg.Gossip, Advertise: cfg.Advertise,
		Seeds: cfg.Seeds, Logger: cfg.Logger})
	if err != nil {
		return err
	}
	defer g.Close()
	d := &daemon{cfg: cfg, gossip: g, started: time.Now()}
	srv := (&control.Server{Directory: g, Cluster: cfg.Identity.Cluster(), Logger: cfg.Logger,
		Status: func(context.Context) any { return d.status() }, Certify: d.certify}).HTTP()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	ready(d.status())

	select {
	case err := <-served:
		return fmt.Errorf("the control socket failed: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type daemon struct {
	cfg     Config
	gossip  *gossip.Gossip
	started time.Time
}

// certify makes a program of this user a member of the cluster.
func (d *daemon) certify(_ context.Context, request []byte) ([]byte, error) {
	if d.cfg.Token == nil {
		return nil, errors.New("this servald holds no join token: give the program one in SERVAL_TOKEN")
	}
	return d.cfg.Token.Certify(request, time.Now())
}
