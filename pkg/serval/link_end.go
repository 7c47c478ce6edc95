package serval

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
)

// settle notices the end of the connection. The caller holds mu.
func (l *link) settle(now flow.Time) {
	switch err := l.set.Err(); {
	case l.gone:
	case err != nil:
		l.forget()
		go l.finish(err)
	case l.linger == 0 && l.set.Sent() && l.set.Finished():
		// Stay to acknowledge the peer's last packets again if ours got lost.
		l.linger = now.Add(3*l.paths[0].flow.RTT() + 100*time.Millisecond)
	case l.linger != 0 && now >= l.linger:
		l.forget()
		go l.finish(nil)
	case l.orphan != 0 && now >= l.orphan:
		l.orphan = 0
		l.set.Reset(flowset.ResetAborted, "the other end was closed long ago")
	case l.orphan == 0 && l.closed.Load() && l.set.Sent() && !l.set.Finished():
		l.orphan = now.Add(orphanTimeout)
	}
}

// orphanTimeout is how long a connection that was closed here, and whose data
// is delivered, waits for the peer to close too (Linux: tcp_fin_timeout).
const orphanTimeout = 60 * time.Second

// idleEnd is when the connection ends unless it is used before.
func (l *link) idleEnd() flow.Time {
	if l.idle == 0 {
		return flow.Never
	}
	return l.used.Add(l.idle)
}

// endWhenIdle has the connection end when it was unused for a time.
func (l *link) endWhenIdle(after time.Duration) {
	l.mu.Lock()
	l.used, l.idle = l.node.now(), after
	l.arm(l.used)
	l.mu.Unlock()
}

// finish tells what is above that the connection is over.
func (l *link) finish(err error) {
	defer l.node.wg.Done()
	if l.ep != nil {
		if err != nil {
			l.ep.DeliverReset(l.wrap("read", cause(err)))
		}
	} else if !l.shared {
		l.inbox.close(l.wrap("read", cause(err)))
	}
	l.mu.Lock()
	after := l.onEnd
	l.mu.Unlock()
	if after != nil {
		after()
	}
}

// forget takes the connection out of the flow table. The caller holds mu and
// must run finish.
func (l *link) forget() {
	l.gone = true
	l.pongs.update(l.pongs.seen + 1) // nobody shall wait any longer
	l.node.wg.Add(1)
	l.dropPaths()
	l.wakeMovers()
	if l.timer != nil && l.timer.Stop() {
		l.node.wg.Done()
	}
	l.wake = 0
	l.node.removeLink(l)
}

// abort ends the connection at once, telling the peer why.
func (l *link) abort(code uint64, why string) {
	l.mu.Lock()
	l.set.Reset(code, why)
	l.pump(l.node.now())
	l.mu.Unlock()
}

// fail ends the connection without a word to the peer, who is gone.
func (l *link) fail(err error) {
	l.mu.Lock()
	l.set.Fail(err)
	l.pump(l.node.now())
	l.mu.Unlock()
}

// whenOver runs f once when the connection has ended, or now if it has.
func (l *link) whenOver(f func()) {
	l.mu.Lock()
	over := l.gone
	if !over {
		l.onEnd = f
	}
	l.mu.Unlock()
	if over {
		f()
	}
}

// drained reports whether the peer has everything that was written.
func (l *link) drained() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.gone || l.set.Err() != nil || l.ep == nil:
		return true
	case l.ending.Load(): // TCP may hold more than it has shown yet: wait for its end
		return l.set.Sent()
	}
	return l.set.Drained()
}
