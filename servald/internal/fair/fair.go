// Package fair shares a bounded number of places among clients, so that one who takes
// all it can get leaves room for the others.
package fair

import (
	"context"
	"errors"
	"sync"
)

// share is how many places a client may have for each place that is free: with 3, one
// client alone gets three quarters of all, a second one three quarters of the rest.
const share = 3

// ErrTaken is what Enter returns when as many wait as may.
var ErrTaken = errors.New("all places are taken")

// Gate is a number of places that clients take and leave. Make one with New; its
// methods are safe for concurrent use.
type Gate[C comparable] struct {
	mu      sync.Mutex
	places  int
	taken   int
	queued  int
	clients map[C]*client
	turn    []C // clients that wait, in the order of their turns
}

// client is one who has places or waits for some.
type client struct {
	taken   int
	waiting []chan struct{} // closed when a place was given
}

// New returns a gate of a number of places, for which four times as many may wait.
func New[C comparable](places int) *Gate[C] {
	return &Gate[C]{places: max(places, 1), clients: make(map[C]*client)}
}

// Resize changes the number of places. Who has one keeps it.
func (g *Gate[C]) Resize(places int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.places = max(places, 1)
	g.give()
}

// Taken returns how many places are taken.
func (g *Gate[C]) Taken() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.taken
}

// Clients returns how many clients have places or wait.
func (g *Gate[C]) Clients() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.clients)
}

// Try takes a place if one is free for this client. Who got one calls Leave.
func (g *Gate[C]) Try(c C) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	cl := g.clients[c]
	if cl != nil && len(cl.waiting) > 0 || !g.room(cl) {
		return false
	}
	g.take(c)
	return true
}

// Enter takes a place, and waits for one until ctx is done: clients get theirs in turn,
// whoever has waited longest of each first. Who got one calls Leave. When very many
// wait, it returns ErrTaken at once.
func (g *Gate[C]) Enter(ctx context.Context, c C) error {
	g.mu.Lock()
	cl := g.clients[c]
	if (cl == nil || len(cl.waiting) == 0) && g.room(cl) {
		g.take(c)
		g.mu.Unlock()
		return nil
	}
	// The queue is shared like the places.
	if waits := 4*g.places - g.queued; cl != nil && len(cl.waiting) >= share*waits || waits <= 0 {
		g.mu.Unlock()
		return ErrTaken
	}
	if cl == nil {
		cl = &client{}
		g.clients[c] = cl
	}
	given := make(chan struct{})
	if len(cl.waiting) == 0 {
		g.turn = append(g.turn, c)
	}
	cl.waiting = append(cl.waiting, given)
	g.queued++
	g.mu.Unlock()

	select {
	case <-given:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-given: // meanwhile
		g.leave(c)
		return ctx.Err()
	default:
	}
	for i, w := range cl.waiting {
		if w == given {
			cl.waiting = append(cl.waiting[:i], cl.waiting[i+1:]...)
			g.queued--
			break
		}
	}
	if len(cl.waiting) == 0 {
		for i, t := range g.turn {
			if t == c {
				g.turn = append(g.turn[:i], g.turn[i+1:]...)
				break
			}
		}
		if cl.taken == 0 {
			delete(g.clients, c)
		}
	}
	return ctx.Err()
}

// Leave gives a place back.
func (g *Gate[C]) Leave(c C) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leave(c)
}

func (g *Gate[C]) leave(c C) {
	cl := g.clients[c]
	cl.taken--
	g.taken--
	if cl.taken == 0 && len(cl.waiting) == 0 {
		delete(g.clients, c)
	}
	g.give()
}

// room reports whether a client may have one more place.
func (g *Gate[C]) room(cl *client) bool {
	free := g.places - g.taken
	return free > 0 && (cl == nil || cl.taken < share*free)
}

func (g *Gate[C]) take(c C) {
	cl := g.clients[c]
	if cl == nil {
		cl = &client{}
		g.clients[c] = cl
	}
	cl.taken++
	g.taken++
}

// give hands free places to those who wait, one to each client in turn.
func (g *Gate[C]) give() {
	for skipped := 0; skipped < len(g.turn); {
		c := g.turn[0]
		g.turn = g.turn[1:]
		cl := g.clients[c]
		if !g.room(cl) {
			g.turn = append(g.turn, c)
			skipped++
			continue
		}
		skipped = 0
		close(cl.waiting[0])
		cl.waiting = cl.waiting[1:]
		g.queued--
		g.take(c)
		if len(cl.waiting) > 0 {
			g.turn = append(g.turn, c)
		}
	}
}
