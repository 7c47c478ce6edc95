package servicetable

// with returns an index in which the trie of a stem of so many bits is s.
func (x index[T]) with(key *secret, k *stem, bits int, s slot[T]) index[T] {
	h := key.hash(k)
	var dirs [dirs]*dir[T]
	if x.dirs != nil {
		dirs = *x.dirs
	}
	d := &dir[T]{pages: []*page[T]{new(page[T])}}
	if old := dirs[h.dir()]; old != nil {
		*d = *old
	}
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
	dirs[h.dir()] = d
	x.dirs = &dirs
	return x
}

// change returns the page for a hash, as a copy that may be changed in a copy of
// the pages of d, which is one itself. If something may be added, there is room.
func (d *dir[T]) change(key *secret, h hash, adds bool) *page[T] {
	for {
		at := d.at(h)
		p := d.pages[at]
		if !adds || p.n < full {
			copied := *p
			d.replace(p, at, &copied, &copied)
			return &copied
		}
		if p.depth == d.depth {
			if d.depth == maxDepth {
				panic("servicetable: too many hashes are alike")
			}
			d.pages = append(d.pages[:len(d.pages):len(d.pages)], d.pages...)
			d.depth++
		}
		low, high := p.split(key)
		d.replace(p, at, low, high)
	}
}

// replace puts low and high, or one page twice, where old was, of which at is one
// place.
func (d *dir[T]) replace(old *page[T], at int, low, high *page[T]) {
	pages := make([]*page[T], len(d.pages))
	copy(pages, d.pages)
	for i := at & (1<<old.depth - 1); i < len(pages); i += 1 << old.depth {
		if pages[i] = low; i>>old.depth&1 == 1 {
			pages[i] = high
		}
	}
	d.pages = pages
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
