package outbound

import (
	"context"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

const (
	// pingIdle is how long a connection is kept for the next ping of a service.
	pingIdle = 10 * time.Second
	// maxPinged bounds the services to which there are such connections.
	maxPinged = 256
)

// pings are connections to services that somebody pings, so that each ping is one round
// trip and not a handshake, and no load for the service's program. The zero value is
// ready.
type pings struct {
	mu sync.Mutex
	m  map[sal.Name]*pinged
}

type pinged struct {
	conn *conn
	idle *time.Timer
}

// Ping measures that an instance of a service answers: a real round trip to it, without
// its program. Rules that name clients do not count.
func (o *Outbound) Ping(ctx context.Context, service string) error {
	name, err := sal.ParseName(service)
	if err != nil {
		return err
	}
	if old := o.pings.take(name); old != nil {
		if o.pinged(ctx, name, old) == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// The service may have ended it, as it may what says nothing.
	}
	opened, _, err := o.dialAs(ctx, o.config(), Client{Via: "ping"}, "tcp", name, 0)
	if err != nil && (IsRefused(err) || IsNoService(err)) && !IsDenied(err) {
		opened, _, err = o.dialAs(ctx, o.config(), Client{Via: "ping"}, "udp", name, 0)
	}
	if err != nil {
		return err
	}
	return o.pinged(ctx, name, opened)
}

// pinged pings on a connection, and keeps it for the next time if it works.
func (o *Outbound) pinged(ctx context.Context, name sal.Name, c *conn) error {
	if _, err := c.Ping(ctx); err != nil {
		c.Close()
		return err
	}
	if !o.pings.put(name, c) {
		c.Close()
	}
	return nil
}

// take returns a connection that is kept for a service; nil if there is none, or another
// ping has it.
func (p *pings) take(name sal.Name) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.m[name]
	if k == nil {
		return nil
	}
	k.idle.Stop()
	delete(p.m, name)
	return k.conn
}

// put keeps a connection for the next ping, and reports false if there is no room.
func (p *pings) put(name sal.Name, c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m[name] != nil || len(p.m) >= maxPinged {
		return false
	}
	if p.m == nil {
		p.m = make(map[sal.Name]*pinged)
	}
	k := &pinged{conn: c}
	k.idle = time.AfterFunc(pingIdle, func() {
		p.mu.Lock()
		mine := p.m[name] == k
		if mine {
			delete(p.m, name)
		}
		p.mu.Unlock()
		if mine {
			c.Close()
		}
	})
	p.m[name] = k
	return true
}
