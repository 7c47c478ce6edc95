package serval

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// drawsKept is how many datagrams to a service within drawsFor have an instance
	// chosen among all. Those beyond that, of a busy sender, get one of the
	// instances chosen just before, by lot: so they follow the same choice, and
	// what a datagram costs does not grow with the number of instances.
	drawsKept = 32
	drawsFor  = 100 * time.Millisecond
	// drawsServices bounds the services that draws are kept of.
	drawsServices = 1024
)

// draws are the instances that were chosen last. The zero value knows of none.
type draws struct {
	mu sync.Mutex
	of map[string]*drawn // by service, as written
}

type drawn struct {
	since time.Time
	keys  []instanceKey
}

// again returns one of the instances chosen lately, if there are enough of them.
func (d *draws) again(service string, now time.Time) (key instanceKey, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.of[service]
	if s == nil || len(s.keys) < drawsKept || now.Sub(s.since) > drawsFor {
		return key, false
	}
	return s.keys[rand.IntN(len(s.keys))], true
}

// note takes note of a choice.
func (d *draws) note(service string, key instanceKey, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.of[service]
	if s == nil {
		if d.of == nil || len(d.of) >= drawsServices {
			d.of = make(map[string]*drawn)
		}
		s = new(drawn)
		d.of[service] = s
	}
	if len(s.keys) == 0 || now.Sub(s.since) > drawsFor {
		s.since, s.keys = now, s.keys[:0]
	}
	if len(s.keys) < drawsKept {
		s.keys = append(s.keys, key)
	}
}

// quick returns a connection to one of the instances of a service that were chosen
// lately, if it is in order; nil leaves it to reach.
func (p *PacketConn) quick(service string) *link {
	key, ok := p.draws.again(service, time.Now())
	if !ok {
		return nil
	}
	in := &p.instances
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.all[key]
	if in.closed || s == nil || s.stale() {
		return nil
	}
	l := s.dialled()
	if l == nil || l.silent() {
		return nil
	}
	return l
}
