package serval

import (
	"context"
	"time"

	"github.com/serval-net/serval/pkg/identity"
)

// PingResult is what Node.Ping measured.
type PingResult struct {
	Instance *Addr         // who answered
	Peer     identity.Peer // as its certificate says
	Open     time.Duration // the whole dial: resolving, choosing, handshake
	RTT      time.Duration // one sealed round trip on the open connection
}

// Ping dials a service, measures a round trip to the instance that answered and
// hangs up.
func (n *Node) Ping(ctx context.Context, service string) (PingResult, error) {
	began := time.Now()
	c, err := n.DialConn(ctx, "tcp", service)
	if err != nil {
		return PingResult{}, err
	}
	defer c.Close()
	r := PingResult{Instance: c.link.remoteAddr(), Peer: c.PeerIdentity(), Open: time.Since(began)}
	r.RTT, err = c.Ping(ctx)
	return r, err
}

// Ping measures one round trip to the peer, without the application there.
func (c *Conn) Ping(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := c.link.ping(ctx); err != nil {
		return 0, c.wrap("ping", err)
	}
	return time.Since(began), nil
}

// pongs lets callers wait for the answer to a ping. The zero value is ready.
type pongs struct {
	seen uint64
	next chan struct{} // closed when seen grows; nil if nobody waits
}

func (p *pongs) update(n uint64) {
	if n != p.seen && p.next != nil {
		close(p.next)
		p.next = nil
	}
	p.seen = n
}

func (l *link) ping(ctx context.Context) error {
	l.mu.Lock()
	if l.gone {
		err := cause(l.set.Err())
		l.mu.Unlock()
		return err
	}
	if l.pongs.next == nil {
		l.pongs.next = make(chan struct{})
	}
	answered := l.pongs.next
	l.set.Ping()
	l.pump(l.node.now())
	l.mu.Unlock()
	select {
	case <-answered:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.gone {
			return cause(l.set.Err())
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
