package servicetable

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// index finds tries by the stem that all prefixes in them have: a hash table that
// can be copied in parts, as nodes of a trie are. Its upper part stays in the
// processor's cache, and the whole stem stands in the table. So a lookup waits
// for memory once, and what it finds need not be compared again.
type index[T any] struct {
	n    int // tries
	dirs *[dirs]*dir[T]
}

// dir is the part of an index whose hashes begin alike. It doubles when a page
// has to be split that only one entry points to (extendible hashing), so that no
// update moves more than a page.
type dir[T any] struct {
	depth int // so many bits of the hash are looked at
	pages []*page[T]
}

// page is a small hash table with linear probing.
type page[T any] struct {
	slots [slots]place[T] // first, so that none lies across two lines of the cache
	more  *[slots]slot[T] // tries that are not just the set of the stem; nil if there are none
	n     int             // slots in use
	depth int             // so many bits of the hash are equal
}

// place is where a trie is. exact is the trie if that is the set of just the
// stem, as with names; then it stands nowhere else.
type place[T any] struct {
	stem  stem
	exact *Set[T]
}

const (
	dirBits = 5
	dirs    = 1 << dirBits
	slots   = 255 // then a page has 8 KiB
	full    = 190 // slots in use
)

// stem is the first bytes of an ID, then zeros.
type stem [3]uint64

// stemOf returns the first n bytes of an ID, of 24 at most.
func stemOf(id *[32]byte, n int) (s stem) {
	s[0] = binary.BigEndian.Uint64(id[0:])
	s[1] = binary.BigEndian.Uint64(id[8:])
	s[2] = binary.BigEndian.Uint64(id[16:])
	if n <= 16 {
		s[1] &= ^uint64(0) << (64 - 8*(n-8))
		s[2] = 0
	} else {
		s[2] &= ^uint64(0) << (64 - 8*(n-16))
	}
	return s
}

// hash is what an index goes by. It is not the stem itself, so that nobody can
// choose names that crowd a page.
type hash uint64

// secret makes the hashes of a table its own.
type secret [4]uint64

func newSecret() (s secret) {
	for i := range s {
		s[i] = maphash.Comparable(maphash.MakeSeed(), i)
	}
	return s
}

func (s *secret) hash(k *stem) hash {
	a := fold(k[0]^s[0], k[1]^s[1])
	return hash(fold(a^s[2], k[2]^s[3]))
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Which dir, page and slot a hash leads to depends on different parts of it.
func (h hash) dir() int  { return int(h >> (64 - dirBits)) }
func (h hash) home() int { return int(uint64(uint32(h)) * slots >> 32) }

const maxDepth = 64 - dirBits - 32

func (d *dir[T]) at(h hash) int { return int(h>>32) & (1<<d.depth - 1) }

func after(i int) int {
	if i++; i == slots {
		return 0
	}
	return i
}

// find returns the trie of a stem: its set if it is only that, or the trie.
func (x *index[T]) find(h hash, k *stem) (*Set[T], slot[T]) {
	d := x.dirs[h.dir()]
	if d == nil {
		return nil, slot[T]{}
	}
	p := d.pages[d.at(h)]
	for i := h.home(); ; i = after(i) {
		here := &p.slots[i]
		switch {
		case here.stem == *k && here.exact != nil:
			return here.exact, slot[T]{}
		case here.exact != nil:
		case !p.used(i):
			return nil, slot[T]{}
		case here.stem == *k:
			return nil, p.more[i]
		}
	}
}

// get is find, but does not tell one from the other.
func (x *index[T]) get(h hash, k *stem) slot[T] {
	if x.dirs == nil {
		return slot[T]{}
	}
	exact, s := x.find(h, k)
	if exact != nil {
		return slot[T]{leaf: exact}
	}
	return s
}

// walk calls f for every set until f returns false.
func (x *index[T]) walk(f func(*Set[T]) bool) bool {
	if x.dirs == nil {
		return true
	}
	for _, d := range x.dirs {
		if d == nil {
			continue
		}
		for at, p := range d.pages {
			if at >= 1<<p.depth {
				continue // it was there before
			}
			for i := range p.slots {
				if !p.trie(i).walk(f) {
					return false
				}
			}
		}
	}
	return true
}

// trie returns what is in a slot.
func (p *page[T]) trie(i int) slot[T] {
	switch {
	case p.slots[i].exact != nil:
		return slot[T]{leaf: p.slots[i].exact}
	case p.more != nil:
		return p.more[i]
	}
	return slot[T]{}
}

func (p *page[T]) used(i int) bool { return p.trie(i) != slot[T]{} }
