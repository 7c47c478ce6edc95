package gossip

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/identity"
)

// A network that was in two parts leaves two clusters, whose members have each
// other for dead, and memberlist forgets the dead after half a minute. So every
// node remembers some of those that it has lost, and tries one now and then.
const (
	// seekEvery is how often, and seekers how many of a cluster's nodes do so.
	seekEvery = 2 * time.Second
	seekers   = 8

	// maxLost is how many are remembered, and lostFor how long: most have not
	// been cut off but have ended.
	maxLost = 16
	lostFor = 24 * time.Hour
)

// lost are members that were there once. The zero value is ready for use, by
// several goroutines.
type lost struct {
	mu  sync.Mutex
	all []lostMember // the oldest first
}

type lostMember struct {
	Member
	at time.Time
}

// note remembers a member, and forgets the oldest if there is no room.
func (l *lost) note(m Member, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(m.Node)
	if len(l.all) == maxLost {
		l.all = slices.Delete(l.all, 0, 1)
	}
	l.all = append(l.all, lostMember{m, now})
}

// found forgets one that is back.
func (l *lost) found(node identity.NodeID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(node)
}

func (l *lost) remove(node identity.NodeID) {
	l.all = slices.DeleteFunc(l.all, func(m lostMember) bool { return m.Node == node })
}

// any returns one of those lost, by a number at random.
func (l *lost) any(luck func(n int) int, now time.Time) (Member, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.all) > 0 && now.Sub(l.all[0].at) >= lostFor {
		l.all = l.all[1:]
	}
	if len(l.all) == 0 {
		return Member{}, false
	}
	return l.all[luck(len(l.all))].Member, true
}

// seek tries those lost. When one answers, both parts of the cluster are one
// again.
func (g *Gossip) seek() {
	tick := time.NewTicker(seekEvery)
	defer tick.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-tick.C:
		}
		// One that ended does not get many questions because the cluster is large.
		m := g.member()
		if rand.IntN(max(m.size(), 1)) >= seekers {
			continue
		}
		who, ok := g.lost.any(rand.IntN, time.Now())
		if !ok {
			continue
		}
		if err := m.meet(who.Addr.String()); err == nil {
			g.lost.found(who.Node) // or who is there now
			g.log.Info("met members again that had been lost", "through", who.Addr)
		}
	}
}
