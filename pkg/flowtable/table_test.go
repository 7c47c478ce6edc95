package flowtable

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

func TestZeroValue(t *testing.T) {
	var table Table[int]
	if table.Lookup(0) != nil || table.Lookup(7) != nil || table.Delete(7) != nil || table.Len() != 0 {
		t.Error("the zero value is not empty")
	}
	table.Range(func(sal.FlowID, *int) bool { t.Error("Range found something"); return true })
	if table.Store(7, new(int)) {
		t.Error("Store took an ID that was never reserved")
	}
}

func TestReserve(t *testing.T) {
	var table Table[int]
	id := table.Reserve()
	if table.Lookup(id) != nil || table.Len() != 1 {
		t.Error("a reserved ID has a value or does not count")
	}
	if table.Adopt(id, new(int)) {
		t.Error("a reserved ID was adopted")
	}
	v := new(int)
	if !table.Store(id, v) || table.Lookup(id) != v {
		t.Error("a stored value is not found")
	}
	if table.Delete(id) != v || table.Lookup(id) != nil || table.Len() != 0 {
		t.Error("a deleted value is found")
	}
	if table.Store(id, v) || table.Lookup(id) != nil {
		t.Error("a deleted ID was stored to")
	}
	if !table.Adopt(id, v) || table.Lookup(id) != v || table.Adopt(0, v) {
		t.Error("Adopt takes a free ID and never 0")
	}
}

// TestOracle compares a table with a map over random operations.
func TestOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var table Table[int]
	oracle := make(map[sal.FlowID]*int)
	var ids []sal.FlowID
	for range 50_000 {
		switch n := r.IntN(10); {
		case n < 4:
			v := new(int)
			id := table.Insert(v)
			if _, taken := oracle[id]; taken || id == 0 {
				t.Fatalf("Insert returned %v", id)
			}
			oracle[id] = v
			ids = append(ids, id)
		case n < 7 && len(ids) > 0:
			i := r.IntN(len(ids))
			if got := table.Delete(ids[i]); got != oracle[ids[i]] {
				t.Fatalf("Delete(%v) = %p, want %p", ids[i], got, oracle[ids[i]])
			}
			delete(oracle, ids[i])
		case n < 8 && len(ids) > 0: // small IDs, and some that were used before
			id := ids[r.IntN(len(ids))]
			if r.IntN(2) == 0 {
				id = sal.FlowID(r.IntN(100))
			}
			v := new(int)
			_, taken := oracle[id]
			if table.Adopt(id, v) != (!taken && id != 0) {
				t.Fatalf("Adopt(%v) with taken %v", id, taken)
			}
			if !taken && id != 0 {
				oracle[id] = v
				ids = append(ids, id)
			}
		case len(ids) > 0:
			id := ids[r.IntN(len(ids))]
			if got := table.Lookup(id); got != oracle[id] {
				t.Fatalf("Lookup(%v) = %p, want %p", id, got, oracle[id])
			}
		}
	}
	if table.Len() != len(oracle) {
		t.Errorf("Len() = %d, want %d", table.Len(), len(oracle))
	}
	table.Range(func(id sal.FlowID, v *int) bool {
		if oracle[id] != v {
			t.Errorf("Range found %v", id)
		}
		delete(oracle, id)
		return true
	})
	if len(oracle) != 0 {
		t.Errorf("Range missed %d", len(oracle))
	}
}

func TestRangeStops(t *testing.T) {
	var table Table[int]
	for range 100 {
		table.Insert(new(int))
	}
	n := 0
	table.Range(func(sal.FlowID, *int) bool { n++; return n < 10 })
	if n != 10 {
		t.Errorf("Range went on to %d", n)
	}
}

// TestConcurrent checks under the race detector that a reader only ever sees
// the value of the ID it asked for, and always while nobody deletes it.
func TestConcurrent(t *testing.T) {
	type flow struct{ id sal.FlowID }
	var table Table[flow]
	insert := func() sal.FlowID {
		id := table.Reserve()
		table.Store(id, &flow{id})
		return id
	}
	var fixed []sal.FlowID
	for range 200 {
		fixed = append(fixed, insert())
	}
	var churning sync.WaitGroup
	recent := make(chan sal.FlowID, 256)
	for range 2 {
		churning.Go(func() {
			var mine []sal.FlowID
			for range 10_000 {
				id := insert()
				select {
				case recent <- id:
				default:
				}
				if mine = append(mine, id); len(mine) > 64 {
					if f := table.Delete(mine[0]); f == nil || f.id != mine[0] {
						t.Errorf("Delete(%v) = %v", mine[0], f)
					}
					mine = mine[1:]
				}
			}
		})
	}
	done := make(chan struct{})
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for {
				for _, id := range fixed {
					if f := table.Lookup(id); f == nil || f.id != id {
						t.Errorf("Lookup(%v) = %v", id, f)
					}
				}
				select {
				case <-done:
					return
				case id := <-recent:
					if f := table.Lookup(id); f != nil && f.id != id {
						t.Errorf("Lookup(%v) = %v", id, f)
					}
				default:
				}
			}
		})
	}
	churning.Wait()
	close(done)
	reading.Wait()
	if n := table.Len(); n != 200+2*64 {
		t.Errorf("Len() = %d", n)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	var table Table[int]
	id := table.Insert(new(int))
	if n := testing.AllocsPerRun(100, func() { table.Lookup(id); table.Lookup(id + 1) }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
}
