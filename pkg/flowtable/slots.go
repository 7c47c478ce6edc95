package flowtable

import (
	"sync/atomic"

	"github.com/serval-net/serval/pkg/sal"
)

// slots is a hash table with open addressing and linear probing, at most half
// full. One writer may change it while others read.
//
// A key is written once and stays: a deleted entry keeps its key and loses its
// value. So a reader that has found its key cannot be handed the value of
// another one. The keys of deleted entries go when the writer builds anew.
type slots[T any] struct {
	keys   []atomic.Uint32 // 0 is free
	values []atomic.Pointer[T]
}

type slotsPointer[T any] = atomic.Pointer[slots[T]]

const minSlots = 8

func (s *slots[T]) len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// lookup returns the value of id, nil if there is none.
func (s *slots[T]) lookup(id sal.FlowID) *T {
	if s == nil || id == 0 {
		return nil
	}
	keys := s.keys
	for i := int(hash(id) >> shardBits); ; i++ {
		i &= len(keys) - 1
		switch keys[i].Load() {
		case uint32(id):
			return s.values[i].Load()
		case 0:
			return nil
		}
	}
}

// find returns where id is, or else where it would go.
func (s *slots[T]) find(id sal.FlowID) (int, bool) {
	if s == nil {
		return 0, false
	}
	for i := int(hash(id) >> shardBits); ; i++ {
		i &= len(s.keys) - 1
		switch s.keys[i].Load() {
		case uint32(id):
			return i, id != 0
		case 0:
			return i, false
		}
	}
}

// rebuilt returns a copy with room for n entries, and how many it has.
func (s *slots[T]) rebuilt(n int) (*slots[T], int) {
	size := minSlots
	for size < 4*n { // a quarter full, to double before the next time
		size *= 2
	}
	c := &slots[T]{
		keys:   make([]atomic.Uint32, size),
		values: make([]atomic.Pointer[T], size),
	}
	used := 0
	s.each(func(id sal.FlowID, v *T) bool {
		i, _ := c.find(id)
		c.values[i].Store(v)
		c.keys[i].Store(uint32(id))
		used++
		return true
	})
	return c, used
}

func (s *slots[T]) each(f func(sal.FlowID, *T) bool) bool {
	for i := range s.len() {
		if v := s.values[i].Load(); v != nil && !f(sal.FlowID(s.keys[i].Load()), v) {
			return false
		}
	}
	return true
}
