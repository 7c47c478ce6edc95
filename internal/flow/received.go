package flow

import "github.com/serval-net/serval/pkg/sal"

// maxRanges bounds what a receiver remembers of gaps. Packet numbers are never
// reused, so a gap older than that is a loss that its sender has long repaired
// under another number.
const maxRanges = 256

// received is the set of packet numbers that arrived: replay window and source
// of acknowledgements at once. The zero value is empty.
type received struct {
	ranges []sal.PNRange // ascending, disjoint, not adjacent
	floor  uint64        // every number below counts as received
}

// has reports whether pn arrived before, or is too old to tell.
func (r *received) has(pn uint64) bool {
	n := len(r.ranges)
	if n == 0 || pn > r.ranges[n-1].Last {
		return pn < r.floor
	}
	if pn < r.floor {
		return true
	}
	i := r.find(pn)
	return i < n && r.ranges[i].First <= pn
}

// find returns the index of the first range whose end is not below pn.
func (r *received) find(pn uint64) int {
	i := len(r.ranges)
	for i > 0 && r.ranges[i-1].Last >= pn { // news is near the end
		i--
	}
	return i
}

// add records pn, which must not have arrived before. It reports whether pn
// left or filled a gap, that is, came out of order.
func (r *received) add(pn uint64) (gap bool) {
	n := len(r.ranges)
	if n > 0 && pn == r.ranges[n-1].Last+1 {
		r.ranges[n-1].Last = pn
		return false
	}
	i := r.find(pn)
	joinsPrev := i > 0 && r.ranges[i-1].Last+1 == pn
	joinsNext := i < n && r.ranges[i].First == pn+1
	switch {
	case joinsPrev && joinsNext:
		r.ranges[i-1].Last = r.ranges[i].Last
		r.ranges = append(r.ranges[:i], r.ranges[i+1:]...)
	case joinsPrev:
		r.ranges[i-1].Last = pn
	case joinsNext:
		r.ranges[i].First = pn
	default:
		r.ranges = append(r.ranges, sal.PNRange{})
		copy(r.ranges[i+1:], r.ranges[i:])
		r.ranges[i] = sal.PNRange{First: pn, Last: pn}
		if len(r.ranges) > maxRanges {
			drop := maxRanges / 2
			r.floor = r.ranges[drop-1].Last + 1
			r.ranges = append(r.ranges[:0], r.ranges[drop:]...)
		}
	}
	return n > 0
}

// largest returns the highest number seen; ok is false before the first.
func (r *received) largest() (pn uint64, ok bool) {
	if n := len(r.ranges); n > 0 {
		return r.ranges[n-1].Last, true
	}
	return 0, false
}
