package resolver

import "slices"

const (
	// sortAll is how many verdicts are put in order to the last, and sortSome how
	// many of them if there are more: nobody asks so many.
	sortAll  = 256
	sortSome = 64
)

// sortBest moves the best to the front, in order, and returns them.
func sortBest(all []Verdict) []Verdict {
	best := all
	if len(all) > sortAll {
		best = all[:sortSome]
		selectBest(best, all[sortSome:])
	}
	slices.SortFunc(best, func(a, b Verdict) int { return a.compare(&b) })
	return best
}

// selectBest exchanges verdicts until none of the rest is better than any of the
// best, which it keeps as a heap with the worst of them on top.
func selectBest(best, rest []Verdict) {
	for i := len(best)/2 - 1; i >= 0; i-- {
		sink(best, i)
	}
	for i := range rest {
		if rest[i].compare(&best[0]) < 0 {
			rest[i], best[0] = best[0], rest[i]
			sink(best, 0)
		}
	}
}

// sink moves an element of a heap down to where it belongs.
func sink(heap []Verdict, i int) {
	for {
		worse := 2*i + 1
		if worse >= len(heap) {
			return
		}
		if worse+1 < len(heap) && heap[worse+1].compare(&heap[worse]) > 0 {
			worse++
		}
		if heap[i].compare(&heap[worse]) >= 0 {
			return
		}
		heap[i], heap[worse] = heap[worse], heap[i]
		i = worse
	}
}
