package servicetable

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"unsafe"

	"github.com/serval-net/serval/pkg/sal"
)

// index finds tries by the stem that all prefixes in them have: a hash table that
// can be copied in parts, as nodes of a trie are. Its upper part stays in the
// processor's cache, and the whole stem stands in the table. So a lookup waits
// for memory once, and what it finds need not be compared again.
type index[T any] struct {
	n     int // tries
	dirs  *[dirs]*dir[T]
	owner *owner
}

// owner is an update. What it has copied or made itself, and nobody else sees
// yet, it changes as it likes: so many changes at once copy each part once.
type owner struct{ _ byte }

// dir is the part of an index whose hashes begin alike. It doubles when a page
// has to be split that only one entry points to (extendible hashing), so that no
// update moves more than a page.
type dir[T any] struct {
	depth int // so many bits of the hash are looked at
	pages []*page[T]
	owner *owner
}

// page is a small hash table with linear probing.
type page[T any] struct {
	slots [slots]place[T] // first, so that none lies across two lines of the cache
	n     int             // slots in use
	depth int             // so many bits of the hash are equal
	owner *owner
}

// place is where a trie is: one line of the cache has two.
type place[T any] struct {
	stem stem           // with the kind in its first byte
	p    unsafe.Pointer // nil is an empty slot
}

// kind says what p of a place is.
type kind uint8

const (
	exact  kind = iota + 1 // a *Set, of just the stem
	leaf                   // a *Set, of a longer prefix
	inner                  // a *node
	fanned                 // the first element of a fan
)

const (
	dirBits = 5
	dirs    = 1 << dirBits
	slots   = 255 // then a page has 8 KiB
	full    = 190 // slots in use
)

// stem is the first bytes of an ID, then zeros. The first byte of all names is
// one; here it is zero.
type stem [3]uint64

// named is the first byte of the IDs that an index takes.
const named = 1

// stemOf returns the first n bytes of an ID, of 24 at most and more than 8.
func stemOf(id *sal.ServiceID, n int) (s stem) {
	s[0] = binary.BigEndian.Uint64(id[0:]) << 8 >> 8
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
	a := fold(k[0]<<8^s[0], k[1]^s[1])
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

// find returns the place of the trie of a stem, nil if there is none.
func (x *index[T]) find(h hash, k *stem) *place[T] {
	if x.n == 0 {
		return nil
	}
	d := x.dirs[h.dir()]
	if d == nil {
		return nil
	}
	p := d.pages[d.at(h)]
	for i := h.home(); ; i = after(i) {
		switch here := &p.slots[i]; {
		case here.is(k):
			return here
		case here.p == nil:
			return nil
		}
	}
}

// is reports whether a trie of the stem k is here.
func (here *place[T]) is(k *stem) bool {
	return here.stem[2] == k[2] && here.stem[1] == k[1] && (here.stem[0]^k[0])<<8 == 0 && here.p != nil
}

func (here *place[T]) kind() kind { return kind(here.stem[0] >> 56) }

// exact returns the set of just the stem, if that is all there is. It reads
// nothing but the place.
func (here *place[T]) exact() *Set[T] {
	if here.kind() == exact {
		return (*Set[T])(here.p)
	}
	return nil
}

// trie returns what is here.
func (here *place[T]) trie() (s slot[T]) {
	if here == nil {
		return s
	}
	switch here.kind() {
	case exact, leaf:
		s.leaf = (*Set[T])(here.p)
	case inner:
		s.node = (*node[T])(here.p)
	case fanned:
		s.node = here.fan().trie()
	}
	return s
}

// fan returns what is here, if it is fanned.
func (here *place[T]) fan() fan[T] { return fan[T]{(*cut)(here.p)} }

// newPlace returns the place of a trie, which is not empty, of a stem of so many
// bits.
func newPlace[T any](k stem, bits int, s slot[T]) place[T] {
	is, p := inner, unsafe.Pointer(s.node)
	if s.leaf != nil {
		is, p = leaf, unsafe.Pointer(s.leaf)
		if int(s.leaf.prefix.Bits) == bits {
			is = exact
		}
	} else if bits == 8*fanStem {
		if f, ok := fanOf(s.node); ok {
			is, p = fanned, unsafe.Pointer(f.first)
		}
	}
	k[0] |= uint64(is) << 56
	return place[T]{k, p}
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
				if !p.slots[i].trie().walk(f) {
					return false
				}
			}
		}
	}
	return true
}
