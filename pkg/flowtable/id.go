package flowtable

import (
	"crypto/rand"
	"encoding/binary"
	"sync"

	"github.com/serval-net/serval/pkg/sal"
)

// idSource draws random IDs, and asks the system for many at a time.
type idSource struct {
	mu   sync.Mutex
	buf  [256]byte
	left []byte
}

// next returns a random ID other than 0.
func (s *idSource) next() sal.FlowID {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if len(s.left) == 0 {
			rand.Read(s.buf[:]) // never fails
			s.left = s.buf[:]
		}
		id := sal.FlowID(binary.NativeEndian.Uint32(s.left))
		s.left = s.left[4:]
		if id != 0 {
			return id
		}
	}
}
