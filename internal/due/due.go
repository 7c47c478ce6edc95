// Package due keeps what has to be done later in order of time, so that what is
// due is found without looking at the rest.
package due

import "time"

// Queue holds items by the time they are due: a heap of four children each,
// whose times lie beside each other in memory. It follows the clock that now
// reads, and stays right when somebody sets that of the wall. It is not safe for
// concurrent use.
type Queue[T comparable] struct {
	place func(T) *int
	base  time.Time // what times are counted from
	heap  []entry[T]
}

type entry[T any] struct {
	at   time.Duration // since base
	item T
}

// New returns an empty queue. It keeps in the int that place returns where an
// item is; 0 says that it is in no queue. An item may be in one only.
func New[T comparable](place func(T) *int) *Queue[T] { return &Queue[T]{place: place} }

// Len returns how many items there are.
func (q *Queue[T]) Len() int { return len(q.heap) }

// Set puts an item in, or gives one that is in another time.
func (q *Queue[T]) Set(item T, at, now time.Time) {
	p := q.place(item)
	if !q.has(item) {
		q.heap = append(q.heap, entry[T]{item: item})
		*p = len(q.heap)
	}
	i := *p - 1
	q.heap[i].at = q.since(at, now)
	q.down(q.up(i))
}

// Sooner is Set, but leaves an item that is due sooner already, which is cheap:
// when it comes out too early, its owner puts it in again.
func (q *Queue[T]) Sooner(item T, at, now time.Time) {
	if !q.has(item) || q.since(at, now) < q.heap[*q.place(item)-1].at {
		q.Set(item, at, now)
	}
}

func (q *Queue[T]) has(item T) bool {
	p := *q.place(item)
	return 0 < p && p <= len(q.heap) && q.heap[p-1].item == item
}

// Remove takes an item out, if it is in.
func (q *Queue[T]) Remove(item T) {
	if !q.has(item) {
		return
	}
	p := q.place(item)
	i, last := *p-1, len(q.heap)-1
	*p = 0
	moved := q.heap[last]
	q.heap[last] = entry[T]{}
	q.heap = q.heap[:last]
	if i != last {
		q.put(i, moved)
		q.down(q.up(i))
	}
}

// Pop takes out the first item, if it is due.
func (q *Queue[T]) Pop(now time.Time) (item T, ok bool) {
	if len(q.heap) == 0 || q.heap[0].at > q.since(now, now) {
		return item, false
	}
	item = q.heap[0].item
	q.Remove(item)
	return item, true
}

// Next returns when the first item is due, the zero time if there is none.
func (q *Queue[T]) Next(now time.Time) time.Time {
	if len(q.heap) == 0 {
		return time.Time{}
	}
	return now.Add(q.heap[0].at - q.since(now, now))
}

// never is far away, and leaves room to calculate.
const never = time.Duration(1) << 61

// since turns a time into one that does not change when the clock is set: now by
// its monotonic reading, and from there on as far as at says.
func (q *Queue[T]) since(at, now time.Time) time.Duration {
	if q.base.IsZero() {
		q.base = now
	}
	far := max(min(at.Sub(now), never), -never)
	return now.Sub(q.base) + far
}

func (q *Queue[T]) put(i int, e entry[T]) {
	q.heap[i] = e
	*q.place(e.item) = i + 1
}

const fan = 4

// up and down move entry i to where it belongs and return where that is.
func (q *Queue[T]) up(i int) int {
	e := q.heap[i]
	for i > 0 {
		parent := (i - 1) / fan
		if q.heap[parent].at <= e.at {
			break
		}
		q.put(i, q.heap[parent])
		i = parent
	}
	q.put(i, e)
	return i
}

func (q *Queue[T]) down(i int) int {
	e := q.heap[i]
	for {
		first := fan*i + 1
		if first >= len(q.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+fan, len(q.heap)); c++ {
			if q.heap[c].at < q.heap[least].at {
				least = c
			}
		}
		if e.at <= q.heap[least].at {
			break
		}
		q.put(i, q.heap[least])
		i = least
	}
	q.put(i, e)
	return i
}
