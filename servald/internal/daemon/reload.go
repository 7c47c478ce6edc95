package daemon

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/notify"
)

// Reloaded is what became of a configuration that was read again.
type Reloaded struct {
	component.Changes
	Failed []string `json:"failed"` // what does not run, and why; it is tried again
	Later  []string `json:"later"`  // sections whose changes need a restart
}

// begin starts the sections that the daemon was given, and lets reload do its work.
func (d *daemon) begin() {
	defer d.reloading.Unlock()
	c := d.cfg.Sections
	if c == nil {
		c = new(config.Config)
		c.Check() // puts in the defaults
	}
	d.atStart = *c
	d.apply(c)
}

// apply makes sections run and remembers which.
func (d *daemon) apply(c *config.Config) (component.Changes, []string) {
	changes, err := d.sections.Apply(c)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running, d.reloaded = c, time.Now()
	return changes, lines(err)
}

// lines is one text for each of the errors.
func lines(err error) []string {
	list := []string{}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			list = append(list, e.Error())
		}
	} else if err != nil {
		list = append(list, err.Error())
	}
	return list
}

// reload reads the configuration again. What is wrong with it is the error, and then
// nothing has changed.
func (d *daemon) reload(context.Context) (any, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if d.cfg.Load == nil {
		return nil, errors.New("this servald runs without a configuration file; start it with --config FILE")
	}
	notify.Reloading()
	defer notify.Ready("gossip at " + d.gossip.Addr().String())
	c, err := d.cfg.Load()
	if err != nil {
		return nil, fmt.Errorf("nothing has changed, the configuration has errors:\n%w", err)
	}
	done := Reloaded{Later: later(&d.atStart, c)}
	done.Changes, done.Failed = d.apply(c)
	return done, nil
}

// hangup reloads because of a signal: what comes of it is logged.
func (d *daemon) hangup(ctx context.Context) {
	done, err := d.reload(ctx)
	if err != nil {
		d.cfg.Logger.Error("the configuration was not reloaded", "err", err)
		return
	}
	r := done.(Reloaded)
	for _, section := range r.Later {
		d.cfg.Logger.Warn("a change needs a restart of servald", "section", section)
	}
	d.cfg.Logger.Info("the configuration was reloaded", "changes", r.Changes, "failed", strings.Join(r.Failed, "; "))
}

// later lists the sections of c that differ from what holds, and are read at the start
// only: of servald, or of the TUN.
func later(holds, c *config.Config) []string {
	list := []string{}
	if holds.TUN == nil || c.TUN == nil || holds.TUN.Device != c.TUN.Device {
		holds.TUN = c.TUN // it is started or ended
	}
	for _, s := range []struct {
		name     string
		old, new any
	}{
		{"[node] listen", holds.Node.Listen, c.Node.Listen},
		{"[node] policy", holds.Node.Policy, c.Node.Policy},
		{"[gossip]", holds.Gossip, c.Gossip},
		{"[addresses]", holds.Addresses, c.Addresses},
		{"[tun]", holds.TUN, c.TUN},
	} {
		if !reflect.DeepEqual(s.old, s.new) {
			list = append(list, s.name)
		}
	}
	return list
}

// drain is how long open connections may go on at the end.
func (d *daemon) drain() config.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running == nil {
		return config.Duration{}
	}
	return d.running.Node.Drain
}
