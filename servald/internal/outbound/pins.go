package outbound

import (
	"context"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

type pinKey struct {
	client who
	name   sal.Name
}

// pins remembers which instance of a service each client uses. The zero value
// remembers none; see limit.
type pins struct {
	mu    sync.Mutex
	most  int
	m     map[pinKey]*pinned
	sweep int // how many there may be before old ones are looked for
}

// pinned is a client's instance of a service.
type pinned struct {
	instance *serval.Addr  // nil until one has answered
	users    int           // dials and connections
	dialling chan struct{} // closed when the first dial ends; nil if there is none
	until    time.Time     // how long to remember it without users
}

// held is a user's hold of a pin.
type held struct {
	pins     *pins
	key      pinKey
	pin      *pinned      // nil if there was no room for one
	instance *serval.Addr // to prefer; nil if no instance has answered yet
	first    bool         // others wait for who answers this dial
}

// limit sets how many may be remembered.
func (p *pins) limit(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
}

// hold returns the pin of a client and a service. The first that asks gets one without
// an instance, and those after it wait until it has said whom it reached: programs that
// open several connections at once mean one server, too.
func (p *pins) hold(ctx context.Context, k pinKey, now time.Time) (*held, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		pin := p.get(k, now)
		if pin == nil {
			return &held{pins: p}, nil
		}
		if pin.instance != nil || pin.dialling == nil {
			h := &held{pins: p, key: k, pin: pin, instance: pin.instance, first: pin.instance == nil}
			if h.first {
				pin.dialling = make(chan struct{})
			}
			pin.users++
			return h, nil
		}
		wait := pin.dialling
		p.mu.Unlock()
		select {
		case <-wait:
			p.mu.Lock()
		case <-ctx.Done():
			p.mu.Lock()
			return nil, ctx.Err()
		}
	}
}

// get returns the pin under a key, a new one if there is none, or nil if there is no
// room.
func (p *pins) get(k pinKey, now time.Time) *pinned {
	pin := p.m[k]
	if pin != nil {
		if pin.users == 0 && !now.Before(pin.until) {
			pin.instance = nil
		}
		return pin
	}
	if len(p.m) >= min(p.most, max(p.sweep, 64)) {
		for k, pin := range p.m {
			if pin.users == 0 && now.After(pin.until) {
				delete(p.m, k)
			}
		}
		p.sweep = 2 * len(p.m)
		if len(p.m) >= p.most {
			return nil
		}
	}
	if p.m == nil {
		p.m = make(map[pinKey]*pinned)
	}
	pin = &pinned{}
	p.m[k] = pin
	return pin
}

// reached notes which instance answered.
func (h *held) reached(at *serval.Addr) {
	if h.pin == nil {
		return
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	h.pin.instance = at
	h.dialled()
}

// dialled lets those go on who wait for the first dial.
func (h *held) dialled() {
	if h.first {
		close(h.pin.dialling)
		h.pin.dialling, h.first = nil, false
	}
}

// release ends the hold of a connection, or of a dial that failed. The pin stays for
// some time.
func (h *held) release(now time.Time, stay time.Duration) {
	if h.pin == nil {
		return
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	h.dialled()
	h.pin.users--
	if until := now.Add(stay); until.After(h.pin.until) {
		h.pin.until = until
	}
	if h.pin.users == 0 && h.pin.instance == nil {
		delete(h.pins.m, h.key)
	}
}
