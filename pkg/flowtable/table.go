// Package flowtable finds the flow that a packet belongs to.
//
// A [Table] maps random flow IDs to flows. Looking one up takes no lock, writes
// nothing and allocates nothing, so that all socket readers do it at once;
// changes lock one of many shards. It knows nothing of what a flow is.
package flowtable

import (
	"encoding/binary"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/serval-net/serval/pkg/sal"
)

// The hash of an ID chooses its shard by its lowest bits and its slot there by
// the others. IDs drawn here are random, but adopted ones are somebody else's
// choice, so all go through xxhash, which costs two nanoseconds.
const (
	shardBits = 4
	shards    = 1 << shardBits
)

// Table maps flow IDs to values of type *T. The zero value is an empty table.
// All methods are safe for concurrent use. Do not copy it after first use.
type Table[T any] struct {
	shards [shards]shard[T]
	ids    idSource
}

// Lookup returns the value of id, or nil if it has none.
func (t *Table[T]) Lookup(id sal.FlowID) *T {
	return t.shard(id).slots.Load().lookup(id)
}

// Insert stores v under a fresh random ID and returns the ID.
func (t *Table[T]) Insert(v *T) sal.FlowID {
	for {
		id := t.ids.next()
		if t.shard(id).add(id, v) {
			return id
		}
	}
}

// Reserve returns a fresh random ID and keeps it from being given out again
// until Delete, so that a value can learn its ID before others can see it.
// Lookup finds nothing under it until Store.
func (t *Table[T]) Reserve() sal.FlowID { return t.Insert(nil) }

// Store sets the value of id, which Reserve or Insert has returned. After a
// Delete it does nothing and returns false.
func (t *Table[T]) Store(id sal.FlowID, v *T) bool {
	return t.shard(id).set(id, v)
}

// Adopt stores v under an ID that another table has drawn, as for a flow that
// was handed over. It returns false if id is 0 or taken.
func (t *Table[T]) Adopt(id sal.FlowID, v *T) bool {
	return id != 0 && t.shard(id).add(id, v)
}

// Delete frees id and returns the value it had, nil if none.
func (t *Table[T]) Delete(id sal.FlowID) *T {
	return t.shard(id).remove(id)
}

// Len returns the number of IDs that are taken, reserved ones included.
func (t *Table[T]) Len() int {
	n := 0
	for i := range t.shards {
		n += t.shards[i].len()
	}
	return n
}

// Range calls f for each ID with a value until f returns false. It takes no
// lock: f may change the table, and changes made meanwhile may be missed.
func (t *Table[T]) Range(f func(sal.FlowID, *T) bool) {
	for i := range t.shards {
		if !t.shards[i].slots.Load().each(f) {
			return
		}
	}
}

func (t *Table[T]) shard(id sal.FlowID) *shard[T] {
	return &t.shards[hash(id)%shards]
}

func hash(id sal.FlowID) uint64 {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(id))
	return xxhash.Sum64(b[:])
}

// shard is one part of a table: slots that are read without the lock, and the
// set of IDs taken, which guards against giving one out twice.
type shard[T any] struct {
	slots slotsPointer[T]

	mu    sync.Mutex // held to change anything
	taken map[sal.FlowID]struct{}
	used  int // slots with a key, live or not

	_ [64]byte // keeps the next shard's readers off the lock's cache line
}

func (s *shard[T]) add(id sal.FlowID, v *T) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.taken[id]; ok || id == 0 {
		return false
	}
	if s.taken == nil {
		s.taken = make(map[sal.FlowID]struct{})
	}
	s.taken[id] = struct{}{}
	s.publish(id, v)
	return true
}

func (s *shard[T]) set(id sal.FlowID, v *T) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.taken[id]; !ok {
		return false
	}
	s.publish(id, v)
	return true
}

func (s *shard[T]) remove(id sal.FlowID) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taken, id)
	slots := s.slots.Load()
	i, found := slots.find(id)
	if !found {
		return nil
	}
	return slots.values[i].Swap(nil)
}

func (s *shard[T]) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

// publish makes v the value that readers see. The caller holds the lock.
func (s *shard[T]) publish(id sal.FlowID, v *T) {
	slots := s.slots.Load()
	i, found := slots.find(id)
	if !found && v == nil {
		return // readers see nothing as it is
	}
	if !found && 2*(s.used+1) > slots.len() {
		slots, s.used = slots.rebuilt(len(s.taken))
		s.slots.Store(slots)
		i, _ = slots.find(id)
	}
	if !found {
		s.used++
	}
	slots.values[i].Store(v) // before the key, by which readers find it
	slots.keys[i].Store(uint32(id))
}
