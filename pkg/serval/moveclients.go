package serval

import (
	"context"
	"time"

	"github.com/serval-net/serval/internal/flowset"
)

// quietFor is how long nothing has to come or go on a connection before
// MoveClients takes it for idle.
const quietFor = time.Second

// Moved counts the connections that MoveClients ended. Those that their own ends
// closed in time are in neither number.
type Moved struct {
	Idle int // with nothing under way
	Busy int // in the middle of something, after the grace
}

// MoveClients is Drain for services whose clients keep their connections: having
// withdrawn the instance, it ends what is open, so that the clients dial again and
// find another instance. A stream itself cannot move to one.
//
// Idle connections are ended first and at once. A connection is idle when the last
// word on it was this end's, or there was none, the peer has all of it, and for
// a second nothing came or went. The others get the grace to become so, or
// to be closed; 0 is none. What is ended is reset (ErrReset), and the peer told
// that the instance is taken out of service.
//
// Progress, if not nil, hears how many connections are left. If ctx ends first,
// that is the error, and what is left stays open; the listener stays withdrawn
// until Undrain or Close in any case.
func (l *Listener) MoveClients(ctx context.Context, grace time.Duration, progress func(left int)) (Moved, error) {
	if err := l.leave(ctx); err != nil {
		return Moved{}, err
	}
	var m Moved
	ended := make(map[*link]bool) // it takes a moment until they are gone
	patience := time.Now().Add(grace)
	err := waitUntilNone(ctx, func() int {
		late := !time.Now().Before(patience)
		for _, k := range l.accepted() {
			idle := k.isIdle(quietFor)
			if ended[k] || !idle && !late {
				continue
			}
			ended[k] = true
			k.abort(flowset.ResetShutdown, outOfService)
			if idle {
				m.Idle++
			} else {
				m.Busy++
			}
		}
		return l.Connections()
	}, progress)
	return m, l.retired("drain", err)
}

// isIdle reports whether nothing seems to be under way on the connection.
func (l *link) isIdle(quiet time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.asked && (l.ep == nil || l.set.Drained()) && l.node.now().Sub(max(l.used, l.began)) >= quiet
}
