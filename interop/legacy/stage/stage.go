//go:build linux

// Package stage is where real programs meet Serval: a client's host and a server's,
// joined by two paths that can be cut, each with its servald, in network namespaces.
// The servers know nothing of Serval, and neither do the clients.
package stage

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/lab"
)

// Stage is both hosts with what runs there. Its methods are safe for concurrent use
// but for Cut. Close it when done.
type Stage struct {
	Net            *lab.Paths // nil if the network has no paths to cut
	Fleet          *fleet.Fleet
	Client, Server *fleet.Host

	dir   string
	hosts []*lab.Host // the client's and the server's, which may be one
	close func() error

	mu       sync.Mutex
	offered  map[string]int // instances by service
	enabled  Way            // of those that need a configuration
	forwards string         // that the client's servald is configured for
}

// New builds a stage whose hosts have two paths, or those that are given. The error
// wraps lab.ErrUnavailable where the machine cannot have one.
func New(ctx context.Context, paths ...lab.Path) (*Stage, error) {
	if len(paths) == 0 {
		paths = make([]lab.Path, 2)
	}
	return build(ctx, func(s *Stage) (client, server netip.Addr, err error) {
		// The server's address is reached over every path, so that the cluster goes
		// on when one is cut.
		if s.Net, err = lab.NewPaths(lab.Topology{Paths: paths, ServerLo: true}); err != nil {
			return client, server, err
		}
		s.hosts, s.close = []*lab.Host{s.Net.Client, s.Net.Server}, s.Net.Close
		return s.Net.Ways[0].Client.Addr(), s.Net.ServerAddrs[0], nil
	})
}

// NewCable builds a stage whose hosts have a cable between them, MTU 1500.
func NewCable(ctx context.Context) (*Stage, error) {
	return build(ctx, func(s *Stage) (client, server netip.Addr, err error) {
		p, err := lab.NewPair()
		if err != nil {
			return client, server, err
		}
		s.hosts, s.close = []*lab.Host{p.Client, p.Server}, p.Close
		return p.ClientIface.Addr(), p.ServerIface.Addr(), nil
	})
}

// NewLoopback builds a stage that is one host, with two servalds at addresses of its
// loopback interface.
func NewLoopback(ctx context.Context) (*Stage, error) {
	return build(ctx, func(s *Stage) (client, server netip.Addr, err error) {
		n, err := lab.New()
		if err != nil {
			return client, server, err
		}
		s.close = n.Close
		h, err := n.Host("host")
		s.hosts = []*lab.Host{h, h}
		return netip.AddrFrom4([4]byte{127, 0, 0, 2}), netip.AddrFrom4([4]byte{127, 0, 0, 3}), err
	})
}

// build makes the network, and starts servald on both hosts at the addresses that
// network returns.
func build(ctx context.Context, network func(*Stage) (client, server netip.Addr, err error)) (*Stage, error) {
	s := &Stage{offered: map[string]int{}}
	if err := s.build(ctx, network); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stage) build(ctx context.Context, network func(*Stage) (client, server netip.Addr, err error)) (err error) {
	if s.dir, err = os.MkdirTemp("", "stage"); err != nil {
		return err
	}
	// Servers run as users of their own and read files below.
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	client, server, err := network(s)
	if err != nil {
		return err
	}
	for i, h := range slices.Compact(slices.Clone(s.hosts)) {
		if err := ownEtc(h, filepath.Join(s.dir, fmt.Sprint("etc", i))); err != nil {
			return err
		}
	}
	if s.Fleet, err = fleet.New(ctx); err != nil {
		return err
	}
	s.Fleet.Everywhere = !server.IsLoopback() // where that is another host
	if s.Server, err = s.Fleet.JoinAt(s.hosts[1], server.String()); err != nil {
		return err
	}
	if err := s.configure(""); err != nil {
		return err
	}
	s.Client, err = s.Fleet.JoinAt(s.hosts[0], client.String(), "--config", s.config())
	return err
}

// ownEtc lets what runs on the host write to /etc, to name another name server, say,
// without the machine noticing: writes go to dir.
func ownEtc(h *lab.Host, dir string) error {
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{dir, upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	err := h.Do(func() error {
		return errors.Join(
			unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir="+upper+",workdir="+work))
	})
	if err != nil {
		return fmt.Errorf("%w: an /etc of its own for the %s: %v", lab.ErrUnavailable, h.Name, err)
	}
	return nil
}

// Dir is a directory for files, that goes with the stage.
func (s *Stage) Dir() string { return s.dir }

// Close ends all programs and removes the network and the files.
func (s *Stage) Close() error {
	if s.Fleet != nil {
		s.Fleet.Close()
	}
	var err error
	if s.close != nil {
		err = s.close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Cuts is how long Cut takes when it watches for the given time after each change.
func Cuts(watch time.Duration) time.Duration { return 4 * watch }

// Cut takes the client's interfaces away, one after the other, and gives each back
// before the next goes.
func (s *Stage) Cut(ctx context.Context, watch time.Duration) error {
	for _, w := range s.Net.Ways {
		if err := w.Client.LinkDown(); err != nil {
			return err
		}
		if err := command.Pause(ctx, watch); err != nil {
			return err
		}
		if err := w.Client.LinkUp(); err != nil {
			return err
		}
		if err := command.Pause(ctx, watch); err != nil {
			return err
		}
	}
	return nil
}

// Find finds a program of those that interop/setup.sh installs.
func Find(program string) (string, error) {
	path, err := fleet.Find(program)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: run interop/setup.sh programs", program)
	}
	return path, nil
}

// RunBy finds and runs a program on the client's host like Run, by a way.
func (s *Stage) RunBy(ctx context.Context, way Way, env []string, args ...string) (string, error) {
	path, err := Find(args[0])
	if err != nil {
		return "", err
	}
	args = append([]string{path}, args[1:]...)
	if way == Exec {
		args = append([]string{s.Fleet.Servald, "exec", "--"}, args...)
	}
	return Run(ctx, s.Client, env, args...)
}

// Run runs a program on a host to its end, or to that of the context, which is an
// error, and returns what it printed.
func Run(ctx context.Context, h *fleet.Host, env []string, args ...string) (string, error) {
	p, err := h.StartWith(filepath.Base(args[0]), env, args...)
	if err != nil {
		return "", err
	}
	return p.OutputWithin(ctx)
}
