//go:build linux

package catalogue

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// House is a stage with the servers of the catalogue, each in several instances that
// are offered as one service.
type House struct {
	Stage *stage.Stage

	seed      *seed
	instances map[string][]*instance // of the services that were opened
	runs      int
}

// Open prepares a house on a stage. Programs that last do so for the given time.
func Open(s *stage.Stage, lasts time.Duration) (*House, error) {
	dir := filepath.Join(s.Dir(), "seed")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	sd, err := newSeed(dir, lasts)
	if err != nil {
		return nil, err
	}
	return &House{Stage: s, seed: sd, instances: map[string][]*instance{}}, nil
}

// Serve starts the instances of a service, if they do not run yet.
func (h *House) Serve(ctx context.Context, service string) error {
	if h.instances[service] != nil {
		return nil
	}
	sv := servers[service]
	var all []*instance
	for n := range sv.instances {
		i := &instance{
			name: "instance-" + string(rune('a'+n)), addr: netip.AddrFrom4([4]byte{127, 0, 0, byte(11 + n)}), port: sv.port,
			dir: filepath.Join(h.Stage.Dir(), service[len("svc:"):], string(rune('a'+n))), stage: h.Stage, seed: h.seed,
		}
		if err := os.MkdirAll(i.dir, 0o755); err != nil {
			return err
		}
		if err := sv.start(ctx, i); err != nil {
			return fmt.Errorf("server of %s: %w", service, err)
		}
		to := i.at()
		switch {
		case sv.udp && sv.tcp:
			to = "tcp+udp:" + to
		case sv.udp:
			to = "udp:" + to
		}
		if _, err := h.Stage.Offer(ctx, service, to); err != nil {
			return err
		}
		all = append(all, i)
	}
	h.instances[service] = all
	return nil
}

// prepare makes a call of a program by a way.
func (h *House) prepare(ctx context.Context, p *Program, way stage.Way) (*call, error) {
	h.runs++
	dir := filepath.Join(h.Stage.Dir(), fmt.Sprint("run", h.runs))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	sv := servers[p.service]
	c := &call{way: way, stage: h.Stage, dir: dir, seed: h.seed}
	if way == stage.Forward {
		at, err := h.Stage.Forwards(ctx, sv.tcp || !sv.udp, sv.udp, p.service)
		if err != nil {
			return nil, err
		}
		c.host, c.port, err = net.SplitHostPort(at)
		return c, err
	}
	c.host, c.port = p.service[len("svc:"):]+".svc.serval", strconv.Itoa(int(sv.port))
	c.socks, c.http = stage.SocksAt, stage.HTTPAt
	return c, h.Stage.Enable(ctx, way)
}

// Works runs a program once by a way and checks that it works. The error says why it
// does not.
func (h *House) Works(ctx context.Context, p *Program, way stage.Way) error {
	c, err := h.prepare(ctx, p, way)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	return p.works(ctx, c)
}

// Survives starts programs by a way, cuts the network below them again and again, and
// returns how each ended: nil if without error and with all it had to do.
func (h *House) Survives(ctx context.Context, programs []*Program, way stage.Way, watch time.Duration) []error {
	errs := make([]error, len(programs))
	ctx, cancel := context.WithTimeout(ctx, 4*h.seed.lasts+time.Minute)
	defer cancel()
	mended := make(chan struct{})
	var all sync.WaitGroup
	for i, p := range programs {
		c, err := h.prepare(ctx, p, way)
		if err != nil {
			errs[i] = err
			continue
		}
		all.Go(func() {
			errs[i] = p.lasts(ctx, c, h.seed.lasts)
			select {
			case <-mended:
			default:
				if errs[i] == nil {
					errs[i] = errEarly
				}
			}
		})
	}
	// All are in the middle of what they do.
	time.Sleep(h.lead(watch))
	err := h.Stage.Cut(ctx, watch)
	close(mended)
	all.Wait()
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// Lasting is how long programs must last that are watched for so long after each
// change of the network.
func Lasting(watch time.Duration) time.Duration { return stage.Cuts(watch) + 2*watch + 3*time.Second }

func (h *House) lead(watch time.Duration) time.Duration {
	return (h.seed.lasts - stage.Cuts(watch)) * 2 / 3
}

// Spread is which instances runs reached, by their names.
type Spread []map[string]int

// Spreads runs a program some times, each as a client of its own, and returns what
// the instances had to do for each run; nil where they do not count.
func (h *House) Spreads(ctx context.Context, p *Program, way stage.Way, runs int) (Spread, error) {
	sv := servers[p.service]
	if sv.handled == nil {
		return nil, nil
	}
	read := func() (map[string]int, error) {
		n := map[string]int{}
		for _, i := range h.instances[p.service] {
			var err error
			if n[i.name], err = sv.handled(ctx, i); err != nil {
				return nil, err
			}
		}
		return n, nil
	}
	// Servers may count a moment after their clients have gone.
	count := func() (map[string]int, error) {
		for {
			before, err := read()
			if err != nil {
				return nil, err
			}
			if err := command.Pause(ctx, 50*time.Millisecond); err != nil {
				return nil, err
			}
			if after, err := read(); err != nil || maps.Equal(before, after) {
				return after, err
			}
		}
	}
	var all Spread
	before, err := count()
	for range runs {
		if err != nil {
			return nil, err
		}
		if err = h.Works(ctx, p, way); err != nil {
			return nil, err
		}
		var after map[string]int
		if after, err = count(); err != nil {
			return nil, err
		}
		one := map[string]int{}
		for name, n := range after {
			if n > before[name] {
				one[name] = n - before[name]
			}
		}
		all, before = append(all, one), after
	}
	return all, err
}
