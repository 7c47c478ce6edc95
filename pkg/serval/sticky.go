package serval

import (
	"net/netip"
	"sync"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// maxSticky bounds the services, and keys of services, that a Dialer remembers an
// instance of. When there are more, it forgets all.
const maxSticky = 1024

// sticky remembers which instance answered last. The zero value knows of none.
type sticky struct {
	mu sync.Mutex
	m  map[stickyKey]lastInstance
}

type stickyKey struct {
	service sal.Name
	key     uint64
}

// lastInstance is one as its certificate names it, and where it was: resolvers
// that do not know nodes know that.
type lastInstance struct {
	node identity.NodeID
	at   netip.AddrPort
}

// prefer makes the instance of the last dial, if there was one, come first.
func (s *sticky) prefer(k stickyKey, w *choice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.m[k]; ok {
		w.rather, w.ratherAt = last.node, last.at
	}
}

// note remembers who answered.
func (s *sticky) note(k stickyKey, c *Conn) {
	a := c.link.remoteAddr()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil || len(s.m) >= maxSticky {
		s.m = make(map[stickyKey]lastInstance)
	}
	s.m[k] = lastInstance{a.Instance, a.Underlay}
}
