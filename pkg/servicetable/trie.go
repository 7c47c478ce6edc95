package servicetable

import (
	"encoding/binary"

	"github.com/serval-net/serval/pkg/sal"
)

// A trie is a radix trie over the bytes of service IDs, with a node only where
// prefixes part or end, so that a million of them are four levels deep whatever
// the length of their IDs. Nodes are immutable: a writer copies those on the way
// to its change, which are a few kilobytes, and readers of the old ones are not
// disturbed.

// allBits is one more than the longest prefix: below it is every prefix.
const allBits = 257

// slot is a place in the trie: empty, one set, or a node.
type slot[T any] struct {
	node *node[T]
	leaf *Set[T]
}

// node is where the prefixes below it, which share their first depth bytes,
// part or end. Which bytes these are is not stored: a reader skips them on its
// way down and compares the whole prefix of each set it meets.
type node[T any] struct {
	depth int              // 0 to 31
	here  *Set[T]          // of the prefix of exactly depth bytes
	kids  sparse[slot[T]]  // longer prefixes, by their next byte
	ends  *sparse[*Set[T]] // of prefixes that end 1 to 7 bits into it, by end
}

// end numbers the prefixes that end within byte b, n bits into it, like the
// nodes of a binary tree: halving a number gives the next shorter prefix.
func end(b byte, n int) uint8 { return 1<<n | b>>(8-n) }

// find returns the set of the longest prefix of fewer than below bits that
// contains id.
func (s slot[T]) find(id *sal.ServiceID, below int) *Set[T] {
	set := s.descend(id, below)
	if set == nil || contains(&set.prefix, id) {
		return set
	}
	// Bytes that were skipped differ. What lies before them is the same in the
	// prefixes further up, so they need not be compared again.
	return s.descend(id, id.CommonPrefix(set.prefix.ID)+1)
}

// descend returns the set that find does if there is no difference in the bytes
// that nodes skip.
func (s slot[T]) descend(id *sal.ServiceID, below int) (best *Set[T]) {
	for s.node != nil {
		n := s.node
		rest := below - 8*n.depth // one more than a prefix may have from here on
		if n.here != nil && rest > 0 {
			best = n.here
		}
		if n.ends != nil && rest > 1 {
			for e := end(id[n.depth], min(rest-1, 7)); e > 1; e /= 2 {
				if set := n.ends.get(e); set != nil {
					best = set
					break
				}
			}
		}
		if rest <= 8 {
			return best
		}
		s = n.kids.get(id[n.depth])
	}
	if s.leaf != nil && int(s.leaf.prefix.Bits) < below {
		return s.leaf
	}
	return best
}

// contains is p.Contains(*id) without copying either.
func contains(p *sal.Prefix, id *sal.ServiceID) bool {
	i, n := 0, int(p.Bits)
	for ; n >= 64; i, n = i+8, n-64 {
		if binary.BigEndian.Uint64(p.ID[i:]) != binary.BigEndian.Uint64(id[i:]) {
			return false
		}
	}
	return n == 0 || (binary.BigEndian.Uint64(p.ID[i:])^binary.BigEndian.Uint64(id[i:]))>>(64-n) == 0
}

// get returns the set of exactly the prefix p.
func (s slot[T]) get(p sal.Prefix) *Set[T] {
	if set := s.find(&p.ID, int(p.Bits)+1); set != nil && set.prefix.Bits == p.Bits {
		return set
	}
	return nil
}

// any returns the prefix of some set in s, which is not empty.
func (s slot[T]) any() *sal.Prefix {
	for s.node != nil {
		n := s.node
		switch {
		case n.here != nil:
			return &n.here.prefix
		case n.ends != nil:
			return &n.ends.list[0].prefix
		}
		s = n.kids.list[0]
	}
	return &s.leaf.prefix
}

// walk calls f for every set, shorter prefixes first, until f returns false.
func (s slot[T]) walk(f func(*Set[T]) bool) bool {
	if s.node == nil {
		return s.leaf == nil || f(s.leaf)
	}
	n := s.node
	if n.here != nil && !f(n.here) {
		return false
	}
	if n.ends != nil {
		for _, set := range n.ends.list {
			if !f(set) {
				return false
			}
		}
	}
	for _, kid := range n.kids.list {
		if !kid.walk(f) {
			return false
		}
	}
	return true
}
