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
	for p.used(i) && p.slots[i].stem != *k {
		i = after(i)
	}
	had := p.used(i)
	switch has := s != (slot[T]{}); {
	case has:
		p.put(i, k, bits, s)
		if !had {
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
	for i := range p.slots {
		if !p.used(i) {
			continue
		}
		h := key.hash(&p.slots[i].stem)
		to := low
		if h>>32>>p.depth&1 == 1 {
			to = high
		}
		j := h.home()
		for to.used(j) {
			j = after(j)
		}
		p.move(i, to, j)
	}
	return low, high
}

// put fills a slot, empty or not, of a page that is not shared.
func (p *page[T]) put(i int, k *stem, bits int, s slot[T]) {
	if !p.used(i) {
		p.n++
	}
	p.slots[i].stem = *k
	if s.leaf != nil && int(s.leaf.prefix.Bits) == bits {
		p.slots[i].exact = s.leaf
		p.setMore(i, slot[T]{})
	} else {
		p.slots[i].exact = nil
		p.setMore(i, s)
	}
}

// move copies a slot to an empty one.
func (p *page[T]) move(i int, to *page[T], j int) {
	to.n++
	to.slots[j] = p.slots[i]
	if p.more != nil {
		to.setMore(j, p.more[i])
	}
}

func (p *page[T]) setMore(i int, s slot[T]) {
	if p.more == nil && s == (slot[T]{}) {
		return
	}
	var more [slots]slot[T] // others may still read the old one
	if p.more != nil {
		more = *p.more
	}
	more[i] = s
	p.more = &more
}

// clear empties a slot, and moves back those behind that would not be found
// beyond an empty one.
func (p *page[T]) clear(key *secret, i int) {
	for j := after(i); p.used(j); j = after(j) {
		h := key.hash(&p.slots[j].stem).home()
		if (j-h+slots)%slots < (j-i+slots)%slots {
			continue // it is found without passing i
		}
		p.empty(i)
		p.move(j, p, i)
		i = j
	}
	p.empty(i)
}

func (p *page[T]) empty(i int) {
	p.n--
	p.slots[i] = place[T]{}
	p.setMore(i, slot[T]{})
}
