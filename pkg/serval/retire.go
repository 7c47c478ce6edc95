package serval

import (
	"context"
	"slices"
	"time"

	"github.com/serval-net/serval/internal/flowset"
)

// farewell is how long an instance that was withdrawn still takes connections:
// diallers who found it just before need not go elsewhere.
const farewell = 300 * time.Millisecond

// Suspend withdraws the instance for a while and refuses new connections, as for
// a server that has failed its health check; those it has go on. Resume ends it.
// If the withdrawal cannot be made known, that is the error, and new connections
// are refused all the same.
func (l *Listener) Suspend(ctx context.Context) error {
	err := l.withdraw(ctx, suspended)
	l.census.refuse(true)
	return l.retired("suspend", err)
}

// Resume ends Suspend: the instance is registered again, unless it is drained. If
// that cannot be done, that is the error, and it is tried again in the background.
func (l *Listener) Resume(ctx context.Context) error {
	return l.retired("resume", l.restore(ctx, suspended))
}

// Drain withdraws the instance, still takes for a moment the connections of those
// who have found it already, refuses new ones from then on, and returns when the
// last connection has ended that it accepted; progress, if not nil, hears how
// many are left. If ctx ends first, that is the error, and the listener stays as
// it is until Undrain or Close.
func (l *Listener) Drain(ctx context.Context, progress func(left int)) error {
	if err := l.leave(ctx); err != nil {
		return err
	}
	return l.retired("drain", waitUntilNone(ctx, l.Connections, progress))
}

// leave withdraws the instance and, a moment later, refuses new connections.
func (l *Listener) leave(ctx context.Context) error {
	registered := l.isRegistered()
	if err := l.withdraw(ctx, drained); err != nil {
		if l.isClosed() {
			return l.retired("drain", err)
		}
		l.node.log.Info("the withdrawal could not be made known", "service", l.name, "error", err)
	}
	if registered {
		pause(ctx, farewell)
	}
	l.refuseIfHeld()
	return nil
}

// Undrain ends Drain: the instance is registered again, unless it is suspended. If
// that cannot be done, that is the error, and it is tried again in the background.
func (l *Listener) Undrain(ctx context.Context) error {
	return l.retired("undrain", l.restore(ctx, drained))
}

func (l *Listener) retired(op string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Service: l.name.String(), Err: err}
}

func (l *Listener) isRegistered() bool {
	l.registering.Lock()
	defer l.registering.Unlock()
	return l.lease != nil
}

func (l *Listener) isClosed() bool {
	l.registering.Lock()
	defer l.registering.Unlock()
	return l.held&closing != 0
}

// refuseIfHeld refuses connections, unless the listener has been restored
// meanwhile.
func (l *Listener) refuseIfHeld() {
	l.registering.Lock()
	defer l.registering.Unlock()
	if l.held != 0 {
		l.census.refuse(true)
	}
}

// Retired reports whether the instance is withdrawn now, by Suspend, Drain or
// Close.
func (l *Listener) Retired() bool {
	l.registering.Lock()
	defer l.registering.Unlock()
	return l.held != 0
}

// Connections returns how many connections came in by this listener and are not
// over, those that wait for Accept and those being opened included.
func (l *Listener) Connections() int {
	return l.census.answered() + len(l.accepted())
}

// accepted lists the connections that came in and are not over.
func (l *Listener) accepted() []*link {
	return slices.DeleteFunc(l.node.allLinks(), func(k *link) bool {
		return k.listener != l || k.closed.Load() && k.drained()
	})
}

// Disconnect ends the connections that came in by this listener, and returns how
// many: what is left when Drain has waited long enough. Their peers find them
// reset, and may dial again, which leads them elsewhere if the listener is drained.
func (l *Listener) Disconnect() (n int) {
	left := l.accepted()
	for _, k := range left {
		k.abort(flowset.ResetShutdown, outOfService)
	}
	return len(left)
}

const outOfService = "the instance is taken out of service"

// pause waits for a time or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
