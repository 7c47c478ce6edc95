package splice

import (
	"context"
	"time"
)

// endIdle ends connections on which nothing came or went for Idle, until ctx is done.
func (p *Proxy) endIdle(ctx context.Context) {
	if p.Idle <= 0 || p.Progress == nil {
		return
	}
	tick := time.NewTicker(max(p.Idle/4, time.Millisecond))
	defer tick.Stop()
	type last struct {
		progress uint64
		at       time.Time
	}
	seen := make(map[*handled]last)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now, next := time.Now(), make(map[*handled]last)
		for _, h := range p.all() {
			is := last{p.Progress(h.Conn), now}
			if was, ok := seen[h]; ok && was.progress == is.progress {
				is = was
			}
			if now.Sub(is.at) >= p.Idle {
				h.end(nil)
				continue
			}
			next[h] = is
		}
		seen = next
	}
}
