package serval

import (
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

// maxRefusals is how many refusals a node remembers, the latest.
const maxRefusals = 64

// refusals are the latest answers to dials that said no, for people who ask why.
// The zero value has none. It is safe for concurrent use.
type refusals struct {
	mu   sync.Mutex
	list [maxRefusals]dialRefusal
	n    int // how many there have been
}

// dialRefusal is one.
type dialRefusal struct {
	at      time.Time
	service sal.Name
	addr    netip.AddrPort
	why     error
}

func (r *refusals) note(service sal.Name, addr netip.AddrPort, why error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list[r.n%maxRefusals] = dialRefusal{now, service, addr, why}
	r.n++
}

// of returns those for a service, the latest first.
func (r *refusals) of(service sal.Name) (list []dialRefusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := r.n - 1; i >= max(0, r.n-maxRefusals); i-- {
		if e := r.list[i%maxRefusals]; e.service == service {
			list = append(list, e)
		}
	}
	return list
}
