package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/serval-net/serval/pkg/resolver/gossip"
	"github.com/serval-net/serval/pkg/serval"
)

// route makes the daemon's node a service router, if it is to be one: it forwards
// first packets to all instances that gossip tells of, here and in the wider
// domain, where it stands for what it aggregates.
func (cfg *Config) route(n *serval.Node, g *gossip.Gossip) (stop func(), err error) {
	switch {
	case !cfg.Forward.IsValid() && (len(cfg.Above) > 0 || len(cfg.Aggregate) > 0):
		return nil, errors.New("this daemon is to stand for services in a wider domain, but not to forward; say where it forwards, too")
	case len(cfg.Aggregate) > 0 && len(cfg.Above) == 0:
		return nil, fmt.Errorf("this daemon is to stand for %s, but for whom is not said; name members of the wider domain", cfg.Aggregate[0])
	case !cfg.Forward.IsValid():
		return func() {}, nil
	}
	stops := []func(){n.Learn(g)}
	stop = func() {
		for i := range stops {
			stops[len(stops)-1-i]()
		}
	}
	if len(cfg.Above) == 0 {
		return stop, nil
	}
	above, err := gossip.New(gossip.Config{Identity: cfg.Identity, Seeds: cfg.Above, Limits: cfg.Limits, Logger: cfg.Logger})
	if err != nil {
		stop()
		return nil, err
	}
	stops = append(stops, func() { above.Close() }, n.Learn(above))
	for _, name := range cfg.Aggregate {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		lease, err := n.Aggregate(ctx, above, name)
		cancel()
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			lease.Close(ctx)
		})
	}
	return stop, nil
}
