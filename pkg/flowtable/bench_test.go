package flowtable

import (
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

const benchFlows = 1 << 15

func filled() (*Table[int], []sal.FlowID) {
	table := new(Table[int])
	ids := make([]sal.FlowID, benchFlows)
	for i := range ids {
		ids[i] = table.Insert(new(int))
	}
	return table, ids
}

var sink *int

func BenchmarkLookup(b *testing.B) {
	table, ids := filled()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		sink = table.Lookup(ids[i%benchFlows])
	}
}

func BenchmarkLookupMiss(b *testing.B) {
	table, ids := filled()
	for i := 0; b.Loop(); i++ {
		sink = table.Lookup(ids[i%benchFlows] ^ 1<<31)
	}
}

func BenchmarkInsertDelete(b *testing.B) {
	table, _ := filled()
	v := new(int)
	b.ReportAllocs()
	for b.Loop() {
		table.Delete(table.Insert(v))
	}
}

// BenchmarkLookupUnderChurn reads on all processors while one writer opens and
// closes flows without pause.
func BenchmarkLookupUnderChurn(b *testing.B) {
	table, ids := filled()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		v := new(int)
		for {
			select {
			case <-stop:
				return
			default:
				table.Delete(table.Insert(v))
			}
		}
	}()
	b.RunParallel(func(pb *testing.PB) {
		lost := 0
		for i := 0; pb.Next(); i++ {
			if table.Lookup(ids[i%benchFlows]) == nil {
				lost++
			}
		}
		if lost > 0 {
			b.Errorf("%d flows were lost", lost)
		}
	})
	close(stop)
	<-stopped
}
