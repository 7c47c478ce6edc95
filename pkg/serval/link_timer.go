package serval

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
)

// arm sets the timer for the earliest deadline. An armed timer that is early
// is left alone: it will look again. The caller holds mu.
func (l *link) arm(now flow.Time) {
	if l.gone {
		return
	}
	at := min(l.set.Deadline(), l.opening.deadline(), l.live.deadline(), l.stepDeadline(), l.idleEnd())
	if l.linger != 0 {
		at = min(at, l.linger)
	}
	if l.orphan != 0 {
		at = min(at, l.orphan)
	}
	if at == flow.Never || l.wake != 0 && l.wake <= at {
		return
	}
	l.wake = max(at, now+1)
	d := max(at.Sub(now), 0)
	if l.timer == nil {
		l.node.wg.Add(1)
		l.timer = time.AfterFunc(d, l.onTimer)
	} else if !l.timer.Reset(d) {
		l.node.wg.Add(1)
	}
}

func (l *link) onTimer() {
	defer l.node.wg.Done()
	l.mu.Lock()
	l.wake = 0
	if !l.gone {
		now := l.node.now()
		l.set.Timeout(now)
		if silence, due := l.live.due(now); due {
			l.keepAlive(now, silence)
		}
		if now >= l.idleEnd() {
			l.set.Reset(flowset.ResetAborted, "it was unused for long")
		}
		l.step(now)
		l.pump(now)
	}
	l.mu.Unlock()
}
