package servicetable

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

const benchRules = 1_000_000

type benchTable struct {
	Table[int]
	rules []*Rule[int]
}

func fill(prefix func(i int) sal.Prefix) *benchTable {
	t := new(benchTable)
	t.rules = make([]*Rule[int], benchRules)
	for i := range t.rules {
		t.rules[i] = &Rule[int]{Prefix: prefix(i), Action: Forward, Target: i}
		t.Add(t.rules[i])
	}
	return t
}

// benchTables are filled once each, since that takes seconds.
var benchTables = map[string]func() *benchTable{
	"names": sync.OnceValue(func() *benchTable {
		return fill(func(i int) sal.Prefix {
			return sal.MustParseName(fmt.Sprintf("svc:service-%d", i)).Prefix()
		})
	}),
	"levels": sync.OnceValue(func() *benchTable { // each site, group and service has a rule
		return fill(func(i int) sal.Prefix {
			switch i % 100 {
			case 0:
				return sal.MustParseName(fmt.Sprintf("svc:site-%d/*", i/1000)).Prefix()
			case 1:
				return sal.MustParseName(fmt.Sprintf("svc:site-%d/group-%d/*", i/1000, i/100)).Prefix()
			}
			return sal.MustParseName(fmt.Sprintf("svc:site-%d/group-%d/service-%d", i/1000, i/100, i)).Prefix()
		})
	}),
	"random": sync.OnceValue(func() *benchTable { // every length, one after the other
		r := rand.New(rand.NewPCG(5, 6))
		return fill(func(i int) sal.Prefix {
			p := sal.Prefix{Bits: uint16(i % allBits)}
			for j := range p.ID {
				p.ID[j] = byte(r.Uint32())
			}
			return p
		})
	}),
}

var sink *Set[int]

func BenchmarkLookupMillion(b *testing.B) {
	for name, table := range benchTables {
		b.Run(name, func(b *testing.B) {
			t := table()
			r := rand.New(rand.NewPCG(7, 8))
			ids := make([]sal.ServiceID, 1<<16)
			for i := range ids {
				ids[i] = t.rules[r.IntN(benchRules)].Prefix.ID
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if sink = t.Lookup(ids[i%len(ids)]); sink == nil {
					b.Fatal("a rule was lost")
				}
			}
		})
	}
}

func BenchmarkUpdateMillion(b *testing.B) {
	for name, table := range benchTables {
		b.Run(name, func(b *testing.B) {
			t := table()
			r := rand.New(rand.NewPCG(9, 10))
			b.ReportAllocs()
			for b.Loop() { // two updates
				rule := t.rules[r.IntN(benchRules)]
				t.Remove(rule)
				t.Add(rule)
			}
		})
	}
}

// BenchmarkLookupUnderUpdates reads on all processors while one writer changes
// the table without pause.
func BenchmarkLookupUnderUpdates(b *testing.B) {
	t := benchTables["names"]()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				r := t.rules[i%benchRules]
				t.Remove(r)
				t.Add(r)
			}
		}
	}()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(benchRules); pb.Next(); i++ {
			t.Lookup(t.rules[i%benchRules].Prefix.ID)
		}
	})
	close(stop)
	<-stopped
}
