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

	// mostGreeted is how many members, and as many former ones, a node tries
	// that joins again. They tell the others.
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

// acquaintances are the addresses of some members and of some that were members
// before the last moves, and all seeds.
func (g *Gossip) acquaintances() (addrs []string) {
	g.moving.Lock()
	defer g.moving.Unlock()
	m := g.member()
	self := m.addr().String()
	add := func(list []string, most int) {
		for _, addr := range list {
			if addr != self && most > 0 && !slices.Contains(addrs, addr) {
				addrs = append(addrs, addr)
				most--
			}
		}
	}
	others := m.addrs()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	add(others, mostGreeted)
	add(g.known, mostGreeted)
	add(g.cfg.Seeds, len(g.cfg.Seeds))
	return addrs
}

// remember keeps who is known, the latest first, for after a move. The caller
// holds g.moving.
func (g *Gossip) remember(addrs []string) {
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	for _, addr := range g.known {
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	g.known = addrs[:min(len(addrs), 2*mostGreeted)]
}

// addrs are the addresses of the other members.
func (m *membership) addrs() (addrs []string) {
	for _, n := range m.others() {
		addrs = append(addrs, addrOf(n).String())
	}
	return addrs
}
