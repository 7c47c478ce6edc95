package check

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"
)

// Gauge is a number that a server says of itself, as it was last heard. The zero
// value shows 0.
type Gauge struct{ bits atomic.Uint64 }

// Value returns the number last heard.
func (g *Gauge) Value() float64 { return math.Float64frombits(g.bits.Load()) }

// Follow asks for the number every so often until ctx ends. While there is no
// answer the last one stays, and log gets a line.
func (g *Gauge) Follow(ctx context.Context, every time.Duration, p Probe, log *slog.Logger) {
	c := Config{Every: every}.withDefaults()
	failing := false
	for {
		var v float64
		err := c.once(ctx, func(ctx context.Context) (err error) {
			v, err = p.Number(ctx)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			g.bits.Store(math.Float64bits(v))
		case !failing:
			log.Warn("the load is not known", "err", err)
		}
		failing = err != nil
		if !pause(ctx, c.Every) {
			return
		}
	}
}
