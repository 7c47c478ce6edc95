package servicetable

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

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
	"keys": sync.OnceValue(func() *benchTable { // 16 parts of the keys of each service, with gaps
		return fill(func(i int) sal.Prefix {
			name := sal.MustParseName(fmt.Sprintf("svc:cache-%d", i/16))
			return sal.KeyPrefix{Key: uint64(i) << 40, Bits: 24}.Of(name)
		})
	}),
	"mixed": sync.OnceValue(func() *benchTable { // names, subtrees and parts of keys
		return fill(func(i int) sal.Prefix {
			switch {
			case i%8 == 0:
				return sal.MustParseName(fmt.Sprintf("svc:tenant-%d/*", i)).Prefix()
			case i%4 == 1:
				name := sal.MustParseName(fmt.Sprintf("svc:cache-%d", i/64))
				return sal.KeyPrefix{Key: uint64(i) << 40, Bits: 24}.Of(name)
			case i%4 == 2:
				return sal.MustParseName(fmt.Sprintf("svc:shop-%d/cart-%d/eu", i%1000, i)).Prefix()
			}
			return sal.MustParseName(fmt.Sprintf("svc:service-%d/part", i)).Prefix()
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

// design is a way to look up, to compare.
type design func(*sal.ServiceID) *Set[int]

// designs of the same rules: the table; one trie of all prefixes; and a map of Go
// for each length in use, from the longest to the shortest, which has neither
// snapshots nor a bound on what an update costs.
func (t *benchTable) designs() map[string]design {
	var trie slot[int]
	var maps [allBits]map[sal.ServiceID]*Set[int]
	for set := range t.All() {
		trie = trie.insert(set)
		bits := set.prefix.Bits
		if maps[bits] == nil {
			maps[bits] = make(map[sal.ServiceID]*Set[int])
		}
		maps[bits][set.prefix.ID] = set
	}
	return map[string]design{
		"table": func(id *sal.ServiceID) *Set[int] { return t.Lookup(*id) },
		"trie":  func(id *sal.ServiceID) *Set[int] { return trie.find(id, allBits) },
		"maps": func(id *sal.ServiceID) *Set[int] {
			for bits := allBits - 1; bits >= 0; bits-- {
				if m := maps[bits]; m != nil {
					if set := m[(sal.Prefix{ID: *id, Bits: uint16(bits)}).Masked().ID]; set != nil {
						return set
					}
				}
			}
			return nil
		},
	}
}

var sink *Set[int]

// BenchmarkLookupMillion reports besides the mean the median of short stretches,
// which is what to compare on a busy machine.
func BenchmarkLookupMillion(b *testing.B) {
	for name, table := range benchTables {
		t := table()
		for what, lookup := range t.designs() {
			b.Run(name+"/"+what, func(b *testing.B) {
				r := rand.New(rand.NewPCG(7, 8))
				ids := make([]sal.ServiceID, 1<<16)
				for i := range ids {
					ids[i] = t.rules[r.IntN(benchRules)].Prefix.ID
				}
				const stretch = 512
				var took []time.Duration
				b.ReportAllocs()
				begin := time.Now()
				for i := 0; b.Loop(); i++ {
					if sink = lookup(&ids[i%len(ids)]); sink == nil {
						b.Fatal("a rule was lost")
					}
					if i%stretch == stretch-1 && len(took) < 1<<16 {
						now := time.Now()
						took, begin = append(took, now.Sub(begin)), now
					}
				}
				if len(took) > 0 {
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/stretch, "ns-median")
				}
			})
		}
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

// BenchmarkLookupUnderUpdates has 64 goroutines read while one writer changes the
// table without pause, and reports what an update takes meanwhile.
func BenchmarkLookupUnderUpdates(b *testing.B) {
	t := benchTables["names"]()
	stop, stopped := make(chan struct{}), make(chan struct{})
	var took []time.Duration
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			r, begin := t.rules[i%benchRules], time.Now()
			t.Update([]*Rule[int]{r}, []*Rule[int]{r})
			took = append(took, time.Since(begin))
		}
	}()
	b.ResetTimer()
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(benchRules); pb.Next(); i++ {
			t.Lookup(t.rules[i%benchRules].Prefix.ID)
		}
	})
	close(stop)
	<-stopped
	slices.Sort(took)
	if n := len(took); n > 0 {
		b.ReportMetric(float64(took[n/2].Nanoseconds())/1000, "us-update-median")
	}
}
