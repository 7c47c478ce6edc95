package servicetable

import (
	"math/bits"
	"slices"
)

// sparse is an array of 256 elements of which only those that exist take room.
// It is never changed: with and without return copies.
type sparse[E any] struct {
	exists [4]uint64
	list   []E // in order of index
}

// rank returns how many elements come before i.
func (s *sparse[E]) rank(i uint8) int {
	n := bits.OnesCount64(s.exists[i/64] & (1<<(i%64) - 1))
	for w := range i / 64 {
		n += bits.OnesCount64(s.exists[w])
	}
	return n
}

func (s *sparse[E]) has(i uint8) bool { return s.exists[i/64]>>(i%64)&1 == 1 }

// get returns element i, or the zero value.
func (s *sparse[E]) get(i uint8) (e E) {
	if s.has(i) {
		e = s.list[s.rank(i)]
	}
	return e
}

func (s sparse[E]) with(i uint8, e E) sparse[E] {
	at := s.rank(i)
	if s.has(i) {
		s.list = slices.Clone(s.list)
		s.list[at] = e
		return s
	}
	s.exists[i/64] |= 1 << (i % 64)
	list := make([]E, 0, len(s.list)+1)
	s.list = append(append(append(list, s.list[:at]...), e), s.list[at:]...)
	return s
}

func (s sparse[E]) without(i uint8) sparse[E] {
	if s.has(i) {
		at := s.rank(i)
		s.exists[i/64] &^= 1 << (i % 64)
		s.list = slices.Concat(s.list[:at], s.list[at+1:])
	}
	return s
}
