package gossip

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// rejoinAfter is how long to wait before trying seeds again that did not
	// answer.
	rejoinAfter = 2 * time.Second

	// hurry is how long after a move, when the network may need a moment. Then
	// it doubles up to rejoinAfter.
	hurry = 100 * time.Millisecond

	// mostGreeted is how many members a node tries that joins again. They tell
	// the others.
	mostGreeted = 8
)

// join tries whoever it knows of whenever this node is alone, or has moved.
func (g *Gossip) join() {
	wait := rejoinAfter
	again, first := false, true
	for {
		m, addrs := g.member(), g.acquaintances()
		if (again || m.isAlone()) && len(addrs) > 0 {
			err := g.greet(m, addrs, wait)
			switch {
			case g.ctx.Err() != nil:
			case err == nil:
				again = false
				g.log.Info("joined the gossip", "through", addrs)
			case first:
				g.log.Warn("no gossip seed answers; will keep trying", "seeds", addrs, "err", err)
			}
		} else {
			again = false
		}
		if first {
			close(g.joined)
			first = false
		}
		var retry <-chan time.Time
		if len(addrs) > 0 {
			retry = time.After(wait)
		}
		select {
		case <-retry:
			wait = min(2*wait, rejoinAfter)
		case <-g.again:
			again, wait = true, hurry
		case <-g.ctx.Done():
			return
		}
	}
}

// rejoin has join try at once.
func (g *Gossip) rejoin() {
	select {
	case g.again <- struct{}{}:
	default:
	}
}

var errNoAnswer = errors.New("no answer")

// greet exchanges all records with several nodes at once, as some may be dead,
// and returns when one has answered, all have failed or some time has passed,
// after which they still may answer.
func (g *Gossip) greet(m *membership, addrs []string, wait time.Duration) (err error) {
	answers := make(chan error, len(addrs))
	for _, addr := range addrs {
		g.done.Go(func() { answers <- m.meet(addr) })
	}
	enough := time.After(wait)
	for range addrs {
		select {
		case err = <-answers:
		case <-enough:
			return errNoAnswer
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// acquaintances are the addresses of some members, or when there are none of
// those before the last move, and of all seeds.
func (g *Gossip) acquaintances() (addrs []string) {
	g.moving.Lock()
	defer g.moving.Unlock()
	m := g.member()
	addrs = m.addrs()
	if len(addrs) == 0 {
		addrs = slices.Clone(g.known)
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	addrs = addrs[:min(len(addrs), mostGreeted)]
	self := m.addr().String()
	for _, seed := range g.cfg.Seeds {
		if seed != self && !slices.Contains(addrs, seed) {
			addrs = append(addrs, seed)
		}
	}
	return addrs
}

// addrs are the addresses of the other members.
func (m *membership) addrs() (addrs []string) {
	for _, n := range m.others() {
		addrs = append(addrs, addrOf(n).String())
	}
	return addrs
}
