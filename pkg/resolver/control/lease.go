package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
)

// clientLease is a registration that a Client renews.
type clientLease struct {
	c      *Client
	cancel context.CancelFunc
	retry  chan struct{} // an update did not get through
	again  chan struct{} // there is another daemon, see attend
	daemon atomic.Pointer[string]
	done   chan struct{}
	once   sync.Once
	err    error

	mu     sync.Mutex // held during requests: they arrive in order
	reg    resolver.Registration
	id     string
	issued time.Time
	closed bool
}

var _ resolver.Updater = (*clientLease)(nil)

// Register implements resolver.Registrar. The daemon spreads the registration,
// and this client renews it until the lease is closed: also, and at once, with a
// daemon that was restarted meanwhile.
func (c *Client) Register(ctx context.Context, reg resolver.Registration) (resolver.Lease, error) {
	if c.ctx.Err() != nil {
		return nil, errors.New("control: the client is closed; make a new one")
	}
	l := &clientLease{c: c, reg: reg, retry: make(chan struct{}, 1), again: make(chan struct{}, 1), done: make(chan struct{})}
	if err := l.renew(ctx); err != nil {
		return nil, err
	}
	renewing, cancel := context.WithCancel(c.ctx)
	l.cancel = cancel
	c.done.Go(func() { l.run(renewing, reg.RenewEvery()) })
	c.keepLease(l)
	return l, nil
}

// renew signs the registration anew, and the withdrawal that belongs to it.
func (l *clientLease) renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.announce(ctx)
}

// Update implements resolver.Updater.
func (l *clientLease) Update(ctx context.Context, change func(*resolver.Registration)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("control: %v was withdrawn; register it again", l.reg.Service)
	}
	altered := l.reg.Changed(change)
	if _, err := altered.Announce(time.Now()); err != nil {
		return err
	}
	l.reg = altered
	err := l.announce(ctx)
	if err != nil {
		select {
		case l.retry <- struct{}{}:
		default:
		}
	}
	return err
}

// announce is renew for a caller who holds the lock.
func (l *clientLease) announce(ctx context.Context) error {
	now := resolver.NextIssue(l.issued, time.Now())
	record, err := l.reg.Announce(now)
	if err != nil {
		return err
	}
	end, err := l.reg.Withdraw(now)
	if err != nil {
		return err
	}
	var got registered
	if err := l.c.do(ctx, "POST", "/v1/register", registration{record.Raw(), end.Raw()}, &got); err != nil {
		return err
	}
	l.id, l.issued = got.ID, now
	l.daemon.Store(&got.Daemon)
	return nil
}

// retryAfter is how soon a renewal is tried again that failed.
const retryAfter = 2 * time.Second

// run renews every so often.
func (l *clientLease) run(ctx context.Context, every time.Duration) {
	defer close(l.done)
	wait := every
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.retry:
			wait = min(every, retryAfter)
			continue
		case <-l.again:
		case <-time.After(wait):
		}
		wait = every
		if l.renew(ctx) != nil {
			wait = min(wait, retryAfter)
		}
	}
}

// Close implements resolver.Lease.
func (l *clientLease) Close(ctx context.Context) error {
	l.once.Do(func() {
		l.c.dropLease(l)
		l.cancel()
		<-l.done
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closed = true
		l.err = l.c.do(ctx, "DELETE", "/v1/register/"+l.id, nil, nil)
		if gone := new(Error); errors.As(l.err, &gone) && gone.Status == http.StatusNotFound {
			l.err = nil // the daemon has forgotten it, as one does that was restarted
		}
	})
	return l.err
}
