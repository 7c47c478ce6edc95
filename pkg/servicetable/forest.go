package servicetable

import "github.com/serval-net/serval/pkg/sal"

// forest is the rule sets of a table: those of short prefixes, and of IDs that are
// not of names, in one trie, the others in many small ones, which are found by
// their first bytes. What a longer stem finds is longer than what a shorter does.
type forest[T any] struct {
	key     secret
	indexes [len(stems)]index[T]
	short   slot[T]
}

// stems are the bytes by which tries are found: as many as the names of three
// levels have, and the wildcards below two levels and below one. So the trie of a
// name is mostly that name alone. Prefixes of other lengths are in the trie of
// the next shorter stem, such as those of keys in that of their name.
var stems = [...]int{24, 19, 13}

// find returns the set of the longest prefix of fewer than below bits that
// contains id.
func (f *forest[T]) find(id *sal.ServiceID, below int) *Set[T] {
	for i := range f.indexes {
		x, stem := &f.indexes[i], stems[i]
		if x.n == 0 || below <= 8*stem || id[0] != named {
			continue
		}
		k := stemOf(id, stem)
		here := x.find(f.key.hash(&k), &k)
		if here == nil {
			continue
		}
		if set := here.exact(); set != nil {
			return set
		}
		if here.kind() == fanned && below == allBits {
			if set := here.fan().find(id); set != nil {
				return set
			}
			continue
		}
		if set := here.trie().find(id, below); set != nil {
			return set
		}
	}
	return f.short.find(id, below)
}

// in returns the index that a prefix belongs in, and the bits of the stems there, or
// nil if it is short.
func (f *forest[T]) in(p *sal.Prefix) (*index[T], int) {
	for i, stem := range stems {
		if int(p.Bits) >= 8*stem && p.ID[0] == named {
			return &f.indexes[i], 8 * stem
		}
	}
	return nil, 0
}

// trie returns the trie that has or should have the prefix p.
func (f *forest[T]) trie(p *sal.Prefix) slot[T] {
	x, bits := f.in(p)
	if x == nil {
		return f.short
	}
	k := stemOf(&p.ID, bits/8)
	return x.find(f.key.hash(&k), &k).trie()
}

// replace puts another trie in its place.
func (f *forest[T]) replace(by *owner, p *sal.Prefix, s slot[T]) {
	x, bits := f.in(p)
	if x == nil {
		f.short = s
		return
	}
	k := stemOf(&p.ID, bits/8)
	*x = x.with(&f.key, by, &k, bits, s)
}

// get returns the set of exactly the prefix p.
func (f *forest[T]) get(p sal.Prefix) *Set[T] { return f.trie(&p).get(p) }

// insert puts a set in, in place of one of the same prefix.
func (f *forest[T]) insert(by *owner, set *Set[T]) {
	f.replace(by, &set.prefix, f.trie(&set.prefix).insert(set))
}

// remove takes the set of p out, which is in.
func (f *forest[T]) remove(by *owner, p sal.Prefix) { f.replace(by, &p, f.trie(&p).remove(p)) }

// walk calls f for every set, shorter prefixes before longer ones that they
// contain, until f returns false.
func (f *forest[T]) walk(visit func(*Set[T]) bool) bool {
	if !f.short.walk(visit) {
		return false
	}
	for i := len(f.indexes) - 1; i >= 0; i-- {
		if !f.indexes[i].walk(visit) {
			return false
		}
	}
	return true
}
