// Package daemon is the part of servald that runs all the time: it gossips, lets the
// programs of this host find and register services over the control socket, and is a
// rendezvous for connections whose ends have both moved. Programs that know Serval
// carry their data themselves; for the others its node does, as the sections of its
// configuration say.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/resolver/gossip"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/sections"
)

// Config describes a daemon. Identity and Socket are required.
type Config struct {
	Identity *identity.Identity // of the host
	Token    *identity.Token    // admits programs of this host; nil admits none

	Socket    string         // path of the control socket
	Gossip    netip.AddrPort // address for gossip; zero chooses one
	Advertise netip.AddrPort // what to tell others instead, behind a NAT
	Seeds     []string       // host:port of other members' gossip

	// Rendezvous is where connections whose ends have both moved can meet, by UDP;
	// zero is the addresses for data, none behind a NAT. NoRendezvous
	// turns it off. It is registered if Identity may serve its name.
	Rendezvous   netip.AddrPort
	NoRendezvous bool

	// Forward makes this host a service router: it sends first packets that come to
	// this address, by UDP, on to the instances that gossip tells of. Zero turns it
	// off. Above is seeds of the gossip of a wider domain of the same cluster, and
	// Aggregate names, such as svc:shop/*, for which this host stands there: who
	// dials one of them there is forwarded by this host.
	Forward   netip.AddrPort
	Above     []string
	Aggregate []string

	// Limits are how many records this host holds; zero fields are the defaults.
	Limits resolver.Limits

	// Listen is addresses for the data of the daemon's own node; none is every address
	// of this host, or loopback if gossip is there only. Policy is how it uses them.
	Listen []netip.AddrPort
	Policy serval.Policy

	// Sections is what the daemon does for programs that know nothing of Serval; nil
	// is nothing. Load reads it again, when Hangup delivers or a program asks for it
	// over the control socket; nil refuses. File is where from, for people.
	Sections *config.Config
	File     string
	Load     func() (*config.Config, error)
	Hangup   <-chan os.Signal

	// Addresses is the file that remembers virtual addresses, if Sections names none.
	// Output gets what commands that are started write to their standard error.
	Addresses string
	Output    io.Writer

	// Remember stores gossip addresses of the other members, for Seeds of the next
	// start; nil forgets them.
	Remember func(peers []string) error

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
		Seeds: cfg.Seeds, Limits: cfg.Limits, Logger: cfg.Logger})
	if err != nil {
		return err
	}
	defer g.Close()
	n, err := cfg.node(g)
	if err != nil {
		return err
	}
	defer n.Close()
	stopRouting, err := cfg.route(n, g)
	if err != nil {
		return err
	}
	defer stopRouting()
	d := &daemon{cfg: cfg, gossip: g, node: n, started: time.Now()}
	d.sections = sections.New(sections.Env{Node: n, Services: g, Addresses: cfg.Addresses, Log: cfg.Logger, Output: cfg.Output})
	srv := (&control.Server{Directory: ruled{g, n}, Cluster: cfg.Identity.Cluster(), Logger: cfg.Logger,
		Status: func(context.Context) any { return d.status() }, Certify: d.certify, Reload: d.reload}).HTTP()
	served := make(chan error, 1)
	d.reloading.Lock() // until it has begun
	go func() { served <- srv.Serve(ln) }()
	d.begin()
	defer func() { d.sections.Stop(d.drain()) }() // once more does nothing
	ready(d.status())

	tick := time.NewTicker(rememberEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case err := <-served:
			return fmt.Errorf("the control socket failed: %w", err)
		case <-tick.C:
		case <-cfg.Hangup:
			d.hangup(ctx)
		case <-ctx.Done():
		}
		d.remember()
	}
	d.sections.Stop(d.drain()) // while the control socket answers: what ends can be seen
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

// rememberEvery is how often the other members are stored, if they have changed.
const rememberEvery = 10 * time.Second

type daemon struct {
	cfg        Config
	gossip     *gossip.Gossip
	node       *serval.Node
	sections   *sections.Runner
	started    time.Time
	remembered []string

	reloading sync.Mutex    // one at a time
	atStart   config.Config // guarded by it: what holds of the sections that take a restart, see later

	mu       sync.Mutex
	running  *config.Config // what sections was given last
	reloaded time.Time
}

// remember stores the other members. When all are gone, the last ones stay stored:
// they may come back.
func (d *daemon) remember() {
	var peers []string
	for _, m := range d.gossip.Members() {
		if addr := m.Addr; addr != d.gossip.Addr() {
			peers = append(peers, addr.String())
		}
	}
	slices.Sort(peers)
	if d.cfg.Remember == nil || len(peers) == 0 || slices.Equal(peers, d.remembered) {
		return
	}
	if err := d.cfg.Remember(peers); err != nil {
		d.cfg.Logger.Warn("the other members could not be stored", "err", err)
		return
	}
	d.remembered = peers
}

// certify makes a program of this user a member of the cluster.
func (d *daemon) certify(_ context.Context, request []byte) ([]byte, error) {
	if d.cfg.Token == nil {
		return nil, errors.New("this servald holds no join token: give the program one in SERVAL_TOKEN")
	}
	return d.cfg.Token.Certify(request, time.Now())
}
