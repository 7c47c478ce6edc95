package gossip

import (
	"math/rand/v2"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
)

// Gossip goes in rounds. News that somebody may be waiting for, as that a node
// has moved, does not wait for the next one.
const (
	tellAtOnce = 32 // members who are told of what begins or ends here
	passOn     = 4  // whom each of them tells in turn

	// recently is for how long news is told to members who are met only then:
	// a node that moves has news before it has joined again.
	recently  = 2 * time.Second
	maxRecent = 64
)

// told is a record that this node has told of.
type told struct {
	*resolver.Record
	at time.Time
}

// tell sends news to some members at once.
func (g *Gossip) tell(r *resolver.Record) {
	now := time.Now()
	g.mu.Lock()
	if len(g.recent) >= maxRecent || len(g.recent) > 0 && now.Sub(g.recent[len(g.recent)-1].at) > recently {
		g.recent = g.recent[:0]
	}
	g.recent = append(g.recent, told{r, now})
	g.mu.Unlock()
	g.member().tell(r, tellAtOnce)
}

// news is what was told recently.
func (g *Gossip) news() (all []*resolver.Record) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.recent {
		if now.Sub(r.at) < recently {
			all = append(all, r.Record)
		}
	}
	return all
}

// tell sends a record to so many members.
func (m *membership) tell(r *resolver.Record, most int) {
	others := m.others()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	for _, n := range others[:min(len(others), most)] {
		m.list.Load().SendBestEffort(n, r.Raw()) // gossip makes up for a loss
	}
}

// meet joins the member at an address and tells it the news, which may have come
// while all records were exchanged.
func (m *membership) meet(addr string) error {
	list := m.list.Load()
	if _, err := list.Join([]string{addr}); err != nil {
		return err
	}
	news := m.g.news()
	for _, n := range m.others() {
		if addrOf(n).String() != addr {
			continue
		}
		for _, r := range news {
			list.SendBestEffort(n, r.Raw())
		}
	}
	return nil
}
