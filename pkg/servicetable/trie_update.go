package servicetable

import "github.com/serval-net/serval/pkg/sal"

// insert returns s with set in it, in place of one of the same prefix.
func (s slot[T]) insert(set *Set[T]) slot[T] {
	if s.node == nil && (s.leaf == nil || s.leaf.prefix == set.prefix) {
		return slot[T]{leaf: set}
	}
	depth := s.depth()
	other := s.any()
	common := min(depth, int(set.prefix.Bits)/8, set.prefix.ID.CommonPrefix(other.ID)/8)
	var n node[T]
	switch {
	case s.node == nil:
		n.depth = common
		n.put(s.leaf)
	case common < depth: // a new node above
		n.depth = common
		n.kids = n.kids.with(other.ID[common], s)
	default:
		n = *s.node
	}
	n.put(set)
	return slot[T]{node: &n}
}

// depth returns how many whole bytes the prefixes in s have at least.
func (s slot[T]) depth() int {
	if s.node != nil {
		return s.node.depth
	}
	return int(s.leaf.prefix.Bits) / 8
}

// put adds set to n, which is not yet shared and has its first depth bytes.
func (n *node[T]) put(set *Set[T]) {
	b, bits := n.at(set.prefix)
	switch {
	case bits == 0:
		n.here = set
	case bits < 8:
		n.setEnds(n.endsOrNone().with(end(b, bits), set))
	default:
		kid := n.kids.get(b)
		n.kids = n.kids.with(b, kid.insert(set))
	}
}

// remove returns s without the set of p, which is in it.
func (s slot[T]) remove(p sal.Prefix) slot[T] {
	if s.node == nil {
		return slot[T]{}
	}
	n := *s.node
	b, bits := n.at(p)
	switch {
	case bits == 0:
		n.here = nil
	case bits < 8:
		n.setEnds(n.ends.without(end(b, bits)))
	default:
		if kid := n.kids.get(b).remove(p); kid == (slot[T]{}) {
			n.kids = n.kids.without(b)
		} else {
			n.kids = n.kids.with(b, kid)
		}
	}
	return n.shrunk()
}

// at returns the first byte of p beyond the node's depth, and how many bits p
// has from there on.
func (n *node[T]) at(p sal.Prefix) (byte, int) {
	bits := int(p.Bits) - 8*n.depth
	if bits == 0 {
		return 0, 0
	}
	return p.ID[n.depth], bits
}

// shrunk returns a slot with n, or with the one thing that is left in it.
func (n *node[T]) shrunk() slot[T] {
	ends := n.endsOrNone().list
	switch {
	case n.here != nil && len(ends)+len(n.kids.list) == 0:
		return slot[T]{leaf: n.here}
	case n.here != nil || len(ends)+len(n.kids.list) > 1:
		return slot[T]{node: n}
	case len(ends) == 1:
		return slot[T]{leaf: ends[0]}
	}
	return n.kids.list[0]
}

func (n *node[T]) endsOrNone() sparse[*Set[T]] {
	if n.ends == nil {
		return sparse[*Set[T]]{}
	}
	return *n.ends
}

func (n *node[T]) setEnds(ends sparse[*Set[T]]) {
	n.ends = nil
	if len(ends.list) > 0 {
		n.ends = &ends
	}
}
