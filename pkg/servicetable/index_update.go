package servicetable

import "slices"

// with returns an index in which the trie of a stem of so many bits is s. The one
// before stays as it is, unless the same update by has made it.
func (x index[T]) with(key *secret, by *owner, k *stem, bits int, s slot[T]) index[T] {
	h := key.hash(k)
	switch {
	case x.dirs == nil:
		x.dirs = new([dirs]*dir[T])
	case x.owner != by:
		copied := *x.dirs
		x.dirs = &copied
	}
	x.owner = by
	d := x.dirs[h.dir()]
	switch {
	case d == nil:
		d = &dir[T]{pages: []*page[T]{{owner: by}}, owner: by}
	case d.owner != by:
		d = &dir[T]{depth: d.depth, pages: slices.Clone(d.pages), owner: by}
	}
	x.dirs[h.dir()] = d
	p := d.change(key, h, s != slot[T]{})
	i := h.home()
	for p.slots[i].p != nil && !p.slots[i].is(k) {
		i = after(i)
	}
	had := p.slots[i].p != nil
	switch has := s != (slot[T]{}); {
	case has:
		p.slots[i] = newPlace(*k, bits, s)
		if !had {
			p.n++
			x.n++
		}
	case had:
		p.clear(key, i)
		x.n--
	}
	if x.n == 0 {
		return index[T]{}
	}
	return x
}

// change returns the page for a hash, a copy if need be, in the directory of an
// update. If something may be added, there is room.
func (d *dir[T]) change(key *secret, h hash, adds bool) *page[T] {
	for {
		p := d.pages[d.at(h)]
		if !adds || p.n < full {
			if p.owner == d.owner {
				return p
			}
			copied := *p
			copied.owner = d.owner
			d.replace(h, p.depth, &copied, &copied)
			return &copied
		}
		if p.depth == d.depth {
			if d.depth == maxDepth {
				panic("servicetable: too many hashes are alike")
			}
			d.pages = append(d.pages, d.pages...)
			d.depth++
		}
		low, high := p.split(key)
		low.owner, high.owner = d.owner, d.owner
		d.replace(h, p.depth, low, high)
	}
}

// replace puts low and high, or one page twice, where the page for a hash was,
// which had the depth given.
func (d *dir[T]) replace(h hash, depth int, low, high *page[T]) {
	for i := d.at(h) & (1<<depth - 1); i < len(d.pages); i += 1 << depth {
		if d.pages[i] = low; i>>depth&1 == 1 {
			d.pages[i] = high
		}
	}
}

// split returns two pages with what is in p.
func (p *page[T]) split(key *secret) (low, high *page[T]) {
	low, high = &page[T]{depth: p.depth + 1}, &page[T]{depth: p.depth + 1}
	for _, place := range p.slots {
		if place.p == nil {
			continue
		}
		h := key.hash(&place.stem)
		to := low
		if h>>32>>p.depth&1 == 1 {
			to = high
		}
		j := h.home()
		for to.slots[j].p != nil {
			j = after(j)
		}
		to.slots[j] = place
		to.n++
	}
	return low, high
}

// clear empties a slot, and moves back those behind that would not be found
// beyond an empty one.
func (p *page[T]) clear(key *secret, i int) {
	for j := after(i); p.slots[j].p != nil; j = after(j) {
		h := key.hash(&p.slots[j].stem).home()
		if (j-h+slots)%slots >= (j-i+slots)%slots { // it is found by way of i
			p.slots[i] = p.slots[j]
			i = j
		}
	}
	p.slots[i] = place[T]{}
	p.n--
}
