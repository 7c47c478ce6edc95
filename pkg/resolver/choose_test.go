package resolver

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// draws is how many orders a distribution is taken from. Its deviation is below
// a hundredth, and the seed is fixed.
const draws = 20_000

// cand returns the candidate with a node of its own that changes describe.
func cand(node byte, changes ...func(*Candidate)) Candidate {
	c := Candidate{Instance: Instance{Node: identity.NodeID{node}}}
	for _, change := range changes {
		change(&c)
	}
	return c
}

func weight(w int) func(*Candidate)        { return func(c *Candidate) { c.Weight = w } }
func priority(p int) func(*Candidate)      { return func(c *Candidate) { c.Priority = p } }
func load(l float64) func(*Candidate)      { return func(c *Candidate) { c.Load = l } }
func rtt(d time.Duration) func(*Candidate) { return func(c *Candidate) { c.RTT = d } }
func stands(s Standing) func(*Candidate)   { return func(c *Candidate) { c.Standing = s } }
func wishes(b Balance) func(*Candidate)    { return func(c *Candidate) { c.Instance.Balance = b } }
func bits(n int) func(*Candidate)          { return func(c *Candidate) { c.Bits = n } }
func rule(c *Candidate)                    { c.Rule = true }

func owns(t testing.TB, prefixes string) func(*Candidate) {
	var keys []sal.KeyPrefix
	for _, s := range strings.Fields(prefixes) {
		k, err := sal.ParseKeyPrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return func(c *Candidate) { c.Keys = keys }
}

// order returns the nodes as digits, with a space before those that come last
// and a bar before those that are excluded.
func order(all []Verdict) string {
	var b strings.Builder
	gap, bar := " ", "|"
	for i := range all {
		switch v := &all[i]; {
		case v.Excluded != Included:
			b.WriteString(bar)
			bar, gap = "", ""
		case v.Last():
			b.WriteString(gap)
			gap = ""
		}
		fmt.Fprint(&b, all[i].Node[0])
	}
	return b.String()
}

func TestOrder(t *testing.T) {
	key := func(c Choice, k uint64) Choice { c.Keyed, c.Key = true, k; return c }
	const top = 1 << 63
	for name, tc := range map[string]struct {
		choice Choice
		list   []Candidate
		want   string
	}{
		"none":       {},
		"priorities": {list: []Candidate{cand(1, priority(-1)), cand(2, priority(3)), cand(3)}, want: "231"},
		"longer prefixes before priorities": {list: []Candidate{cand(1, priority(9)), cand(2, bits(192)), cand(3, bits(96))},
			want: "231"},
		"rules before what is known": {list: []Candidate{cand(1, bits(192), priority(9)), cand(2, bits(192), rule), cand(3, bits(96), rule)},
			want: "213"},
		"ejected come last": {list: []Candidate{cand(1, priority(9), stands(Ejected)), cand(2), cand(3, priority(-1))},
			want: "23 1"},
		"busy ones before those": {list: []Candidate{cand(1, stands(Ejected)), cand(2, priority(5), stands(Busy)), cand(3, priority(-1)), cand(4, load(1), priority(4))},
			want: "324 1"},
		"all ejected": {list: []Candidate{cand(1, stands(Ejected)), cand(2, priority(2), stands(Ejected)), cand(3, priority(3), stands(Ejected))},
			want: "321"},
		"trial first": {list: []Candidate{cand(1, stands(Trial), priority(2)), cand(2, stands(Trial), priority(1)), cand(3)},
			want: "132"},
		"trial later": {list: []Candidate{cand(1, priority(9)), cand(2, stands(Trial), priority(8)), cand(3), cand(4, stands(Busy))},
			want: "1324"},
		"only": {choice: Choice{Only: identity.NodeID{2}}, list: []Candidate{cand(1), cand(2, stands(Ejected)), cand(0)},
			want: "0 2|1"},
		"unreachable": {list: []Candidate{cand(1, priority(9), func(c *Candidate) { c.Unreachable = true }), cand(2)}, want: "2|1"},
		"rather": {choice: Choice{Rather: identity.NodeID{3}}, list: []Candidate{cand(1, priority(2)), cand(2, priority(1)), cand(3, load(2))},
			want: "312"},
		"rather one that is ejected": {choice: Choice{Rather: identity.NodeID{3}}, list: []Candidate{cand(1), cand(2, priority(1)), cand(3, priority(2), stands(Ejected))},
			want: "21 3"},
		"nearest": {choice: Choice{Balance: BalanceNearest}, list: []Candidate{cand(1, rtt(9e6)), cand(2, rtt(3e6)), cand(3, rtt(20e6)), cand(4, rtt(1e6), stands(Ejected))},
			want: "213 4"},
		"key: longest prefix first": {choice: key(Choice{}, top+1), want: "2341|5", list: []Candidate{
			cand(1), cand(2, owns(t, "0/4 c/2 80/8")), cand(3, owns(t, "8/2")), cand(4, owns(t, "8/1"), priority(9)), cand(5, owns(t, "c/2"))}},
		"key: an owner that is ejected": {choice: key(Choice{}, top+1), want: "31 2|5", list: []Candidate{
			cand(1), cand(2, owns(t, "80/8"), stands(Ejected)), cand(3, owns(t, "8/2")), cand(5, owns(t, "c/2"))}},
		"key: the only owner is ejected": {choice: key(Choice{}, top), want: "2|5", list: []Candidate{
			cand(2, owns(t, "80/8"), stands(Ejected)), cand(5, owns(t, "c/2"))}},
		"key: nobody owns it": {choice: key(Choice{}, 1), want: "|25", list: []Candidate{
			cand(2, owns(t, "80/8")), cand(5, owns(t, "c/2"))}},
		"key: an owner before a rule for all": {choice: key(Choice{}, top), want: "21", list: []Candidate{
			cand(1, rule, bits(192)), cand(2, bits(192), owns(t, "8/1"))}},
		"no key: owners are as good as others": {list: []Candidate{cand(1, priority(1), owns(t, "8/1")), cand(2)}, want: "12"},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for range 20 {
				before := slices.Clone(tc.list)
				if got := order(tc.choice.Order(tc.list, r)); got != tc.want {
					t.Fatalf("order %s, want %s", got, tc.want)
				}
				if order(verdicts(before)) != order(verdicts(tc.list)) {
					t.Fatal("the list was changed")
				}
			}
		})
	}
}

func verdicts(list []Candidate) []Verdict {
	out := make([]Verdict, len(list))
	for i := range list {
		out[i].Candidate = list[i]
	}
	return out
}

// first counts who comes first, as shares.
func first(c Choice, list []Candidate) map[byte]float64 {
	r := rand.New(rand.NewPCG(3, 4))
	got := make(map[byte]float64)
	for range draws {
		got[c.Order(list, r)[0].Node[0]] += 1.0 / draws
	}
	return got
}

func TestShares(t *testing.T) {
	const w, ms = BalanceWeighted, time.Millisecond
	pool := func(n int, changes ...func(*Candidate)) (list []Candidate) {
		for i := range n {
			list = append(list, cand(byte(i+1), changes...))
		}
		return list
	}
	spoil := func(list []Candidate, s Standing, nodes ...int) []Candidate {
		for _, n := range nodes {
			list[n-1].Standing = s
		}
		return list
	}
	backup := func(n byte, list ...Candidate) []Candidate { return append(list, cand(n, priority(-1))) }
	for name, tc := range map[string]struct {
		balance Balance
		list    []Candidate
		want    map[byte]float64
	}{
		"by weight": {w, []Candidate{cand(1, weight(3)), cand(2), cand(3, weight(6))}, map[byte]float64{1: .3, 2: .1, 3: .6}},
		"as most wish": {0, []Candidate{cand(1, wishes(BalanceNearest), rtt(20*ms)), cand(2, wishes(BalanceNearest), rtt(1*ms)), cand(3, wishes(w)), cand(4), cand(5)},
			map[byte]float64{2: .875, 3: .125 / 3, 4: .125 / 3, 5: .125 / 3}},

		// Of two drawn of n alike, the least loaded of all is in 2/n of the pairs.
		"less loaded of two": {BalanceLeastLoad, []Candidate{cand(1, load(.1)), cand(2, load(.5)), cand(3, load(.7)), cand(4, load(.9))},
			map[byte]float64{1: 1. / 2, 2: 1. / 3, 3: 1. / 6}},
		"loads alike":    {BalanceLeastLoad, []Candidate{cand(1, load(.5), weight(3)), cand(2, load(.5))}, map[byte]float64{1: .75, 2: .25}},
		"full is no use": {BalanceLeastLoad, []Candidate{cand(1, load(1.2)), cand(2, load(.9)), cand(3, load(.8))}, map[byte]float64{3: 1}},

		"equally near": {BalanceNearest, []Candidate{cand(1, rtt(10*ms)), cand(2, rtt(11*ms), weight(3)), cand(3, rtt(15*ms))},
			map[byte]float64{1: .25, 2: .75}},
		"near and unknown": {BalanceNearest, []Candidate{cand(1, rtt(10*ms)), cand(2, rtt(1*ms)), cand(3), cand(4, weight(3))},
			map[byte]float64{2: .875, 3: .125 / 4, 4: .125 * 3 / 4}},
		"nothing measured": {BalanceNearest, []Candidate{cand(1), cand(2, weight(3))}, map[byte]float64{1: .25, 2: .75}},

		// Overflow: with a of all in the best priority there, it gets 1.4 a.
		"one of five missing":   {w, spoil(backup(9, pool(5)...), Ejected, 1), map[byte]float64{2: .25, 3: .25, 4: .25, 5: .25}},
		"three of five ejected": {w, spoil(backup(9, pool(5)...), Ejected, 1, 2, 3), map[byte]float64{4: .28, 5: .28, 9: .44}},
		"three of five busy":    {w, spoil(backup(9, pool(5)...), Busy, 1, 2, 3), map[byte]float64{4: .28, 5: .28, 9: .44}},
		"by weight missing": {w, backup(9, cand(1, weight(3), stands(Busy)), cand(2)),
			map[byte]float64{2: .35, 9: .65}},
		"best is missing": {w, spoil(backup(9, pool(2)...), Ejected, 1, 2), map[byte]float64{9: 1}},
		"two backups":     {w, append(backup(9, cand(1, stands(Busy)), cand(2), cand(3, stands(Busy)), cand(4)), cand(10, priority(-2))), map[byte]float64{2: .35, 4: .35, 9: .3}},
		"not enough anywhere": {w, []Candidate{cand(1), cand(2, stands(Busy)), cand(3, stands(Busy)), cand(4, stands(Busy)),
			cand(5, priority(-1)), cand(6, priority(-1), stands(Busy)), cand(7, priority(-1), stands(Busy)), cand(8, priority(-1), stands(Busy))},
			map[byte]float64{1: .5, 5: .5}},

		// Panic: fewer than 30 % are left.
		"seven of ten ejected":  {w, spoil(pool(10), Ejected, 1, 2, 3, 4, 5, 6, 7), map[byte]float64{8: 1. / 3, 9: 1. / 3, 10: 1. / 3}},
		"three of four ejected": {w, spoil(pool(4), Ejected, 1, 2, 3), map[byte]float64{1: .25, 2: .25, 3: .25, 4: .25}},
		"but there is a backup": {w, spoil(backup(9, pool(4)...), Ejected, 1, 2, 3, 4), map[byte]float64{9: 1}},
		"both priorities": {w, []Candidate{cand(1), cand(2, stands(Ejected)), cand(3, stands(Ejected)), cand(4, stands(Ejected)),
			cand(5, priority(-1)), cand(6, priority(-1), stands(Ejected)), cand(7, priority(-1), stands(Ejected)), cand(8, priority(-1), stands(Ejected))},
			map[byte]float64{1: .25, 2: .25, 3: .25, 4: .25}},
		"all busy": {w, spoil(pool(2), Busy, 1, 2), map[byte]float64{1: .5, 2: .5}},
		"on trial": {w, spoil(pool(2), Trial, 1), map[byte]float64{1: .5, 2: .5}},
	} {
		t.Run(name, func(t *testing.T) {
			got := first(Choice{Balance: tc.balance}, tc.list)
			for n := range byte(11) {
				if math.Abs(got[n]-tc.want[n]) > .015 {
					t.Errorf("%d comes first in %.3f of all orders, want %.3f", n, got[n], tc.want[n])
				}
			}
		})
	}
}

// TestSecond: who comes second is drawn by weight among the others too.
func TestSecond(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	n := 0
	for range draws {
		all := Choice{}.Order([]Candidate{cand(1, weight(1000)), cand(2, weight(3)), cand(3)}, r)
		if all[0].Node[0] == 1 && all[1].Node[0] == 2 {
			n++
		}
	}
	if share := float64(n) / draws; math.Abs(share-.75) > .02 {
		t.Errorf("it is second in %.3f of all orders, want 0.75", share)
	}
}

// hashed returns where each of many keys goes.
func hashed(list []Candidate) []byte {
	to := make([]byte, draws)
	for k := range to {
		c := Choice{Balance: BalanceHash, Affinity: HashKey(fmt.Sprint("client ", k))}
		if k%2 == 0 {
			c = Choice{Keyed: true, Key: HashKey(fmt.Sprint("key ", k))}
		}
		to[k] = c.Order(list, nil)[0].Node[0] // chance must have no part in it
	}
	return to
}

// TestAffinity: keys are shared out by weight, and a change of the members moves
// only those that it must.
func TestAffinity(t *testing.T) {
	nine := []Candidate{cand(9, weight(3))}
	for i := range byte(5) {
		nine = append(nine, cand(i))
	}
	at := func(i int, change func(*Candidate)) []Candidate {
		list := slices.Clone(nine)
		change(&list[i])
		return list
	}
	for name, tc := range map[string]struct {
		list  []Candidate
		moved float64              // of all keys
		may   func(a, b byte) bool // move from a to b
	}{
		"nothing":      {slices.Clone(nine), 0, nil},
		"shuffled":     {[]Candidate{nine[3], nine[5], nine[0], nine[4], nine[1], nine[2]}, 0, nil},
		"one leaves":   {nine[:5], 1. / 8, func(a, _ byte) bool { return a == 4 }},
		"heavy leaves": {nine[1:], 3. / 8, func(a, _ byte) bool { return a == 9 }},
		"one comes":    {append(slices.Clone(nine), cand(7)), 1. / 9, func(_, b byte) bool { return b == 7 }},
		"is ejected":   {at(2, stands(Ejected)), 1. / 8, func(a, _ byte) bool { return a == 1 }},
		"is full":      {at(2, load(1)), 1. / 8, func(a, _ byte) bool { return a == 1 }},
		"grows":        {at(2, weight(2)), 1./8 - (1./8)*(1./9) - 1./72 + 1./72, func(_, b byte) bool { return b == 1 }},
		"has backups":  {append(slices.Clone(nine), cand(8, priority(-1))), 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := hashed(nine), hashed(tc.list)
			shares, moved := make(map[byte]float64), 0.0
			for k, a := range before {
				shares[a] += 1.0 / draws
				if b := after[k]; a != b {
					moved += 1.0 / draws
					if tc.may == nil || !tc.may(a, b) {
						t.Fatalf("key %d moved from %d to %d", k, a, b)
					}
				}
			}
			if math.Abs(shares[9]-3./8) > .02 || math.Abs(shares[3]-1./8) > .02 {
				t.Errorf("shares are %.3v", shares)
			}
			if math.Abs(moved-tc.moved) > .02 {
				t.Errorf("%.3f of all keys moved, want %.3f", moved, tc.moved)
			}
		})
	}
}

// TestAffinityOverflow: of the keys of a priority, those that do not fit into it
// any more go to the next one, always the same.
func TestAffinityOverflow(t *testing.T) {
	list := []Candidate{cand(1), cand(2), cand(3), cand(9, priority(-1))}
	before := hashed(list)
	list[0].Standing, list[1].Standing = Busy, Busy // 1.4 of a third stay
	after := hashed(list)
	if !slices.Equal(after, hashed(list)) {
		t.Error("keys go now here, now there")
	}
	n := 0
	for k, b := range after {
		switch {
		case b == 9:
			n++
		case b != 3 || before[k] == 9:
			t.Fatalf("key %d moved from %d to %d", k, before[k], b)
		}
	}
	if share := float64(n) / draws; math.Abs(share-(1-1.4/3)) > .02 {
		t.Errorf("%.3f of the keys overflow", share)
	}
}

// TestAffinityWithoutNodes: where nodes are not known, addresses stand for them.
func TestAffinityWithoutNodes(t *testing.T) {
	var list []Candidate
	for i := range 4 {
		list = append(list, Candidate{Instance: Instance{Addrs: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(7000+i))}}})
	}
	got := make(map[uint16]int)
	for k := range 4000 {
		got[Choice{Keyed: true, Key: HashKey(fmt.Sprint(k))}.Order(list, nil)[0].Addrs[0].Port()]++
	}
	for port, n := range got {
		if n < 850 || n > 1150 {
			t.Errorf("port %d has %d of 4000 keys", port, n)
		}
	}
	c := Choice{Rather: identity.NodeID{7}, RatherAt: list[2].Addrs[0]}
	if v := c.Order(list, rand.New(rand.NewPCG(1, 1)))[0]; v.Addrs[0] != list[2].Addrs[0] || !v.Rather {
		t.Errorf("first is %v", v.Addrs)
	}
}

// TestKeyBalance: replicas of one part of the key space share its keys as they
// wish.
func TestKeyBalance(t *testing.T) {
	part := owns(t, "8/1")
	list := []Candidate{cand(1, part, wishes(BalanceWeighted)), cand(2, part, wishes(BalanceWeighted)), cand(3, wishes(BalanceWeighted))}
	for name, tc := range map[string]struct {
		choice Choice
		key    uint64
		want   float64 // how often the most frequent comes first
	}{
		"wished":         {Choice{}, 1 << 63, .5},
		"said otherwise": {Choice{Balance: BalanceHash}, 1 << 63, 1},
		"no owner":       {Choice{}, 1, 1},
	} {
		tc.choice.Keyed, tc.choice.Key = true, tc.key
		most := 0.0
		for _, share := range first(tc.choice, list) {
			most = max(most, share)
		}
		if math.Abs(most-tc.want) > .02 {
			t.Errorf("%s: one comes first in %.3f of all orders, want %.3f", name, most, tc.want)
		}
	}
}

func TestHeard(t *testing.T) {
	for s := Well; s <= Ejected; s++ {
		c := cand(1, stands(s))
		c.Suspect = true
		c.Heard()
		want := s
		if s == Well {
			want = Ejected
		}
		if c.Standing != want {
			t.Errorf("who is %v here and suspect elsewhere is %v", s, c.Standing)
		}
	}
}

func TestHashKey(t *testing.T) {
	// The value of the specification, so that other programs can compute it.
	if got := HashKey(""); got != 0xef46db3751d8e999 {
		t.Errorf("the empty key has the hash %x", got)
	}
}

// TestReason: every place has a reason that names what decided.
func TestReason(t *testing.T) {
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later := func(c *Candidate) { c.Until = until }
	for _, tc := range []struct {
		choice Choice
		c      Candidate
		want   string
	}{
		{Choice{}, cand(1, weight(3)), "drawn by weight 3"},
		{Choice{Only: identity.NodeID{2}}, cand(1), "another instance is wanted"},
		{Choice{}, cand(1, func(c *Candidate) { c.Unreachable = true }), "no interface"},
		{Choice{Keyed: true}, cand(1, owns(t, "8/1")), "does not own the key"},
		{Choice{Keyed: true, Key: 1 << 63}, cand(1, owns(t, "80/8")), "owns the key, by 8 bits"},
		{Choice{Keyed: true}, cand(1), "hash of key and instance"},
		{Choice{Rather: identity.NodeID{1}}, cand(1), "the last dial had it"},
		{Choice{}, cand(1, load(1.25)), "full: load 1.25"},
		{Choice{}, cand(1, stands(Busy), later), "declined; to be asked again from 03:04:05"},
		{Choice{}, cand(1, stands(Trial)), "may now show"},
		{Choice{Balance: BalanceLeastLoad}, cand(1, load(.5)), "load 0.50"},
		{Choice{Balance: BalanceNearest}, cand(1, rtt(1234567)), "round trip 1.23ms"},
		{Choice{Balance: BalanceNearest}, cand(1), "nothing was measured"},
		{Choice{}, cand(1, stands(Ejected)), "too many others"},
	} {
		v := tc.choice.Order([]Candidate{tc.c}, rand.New(rand.NewPCG(1, 1)))[0]
		if got := v.Reason(); !strings.Contains(got, tc.want) {
			t.Errorf("reason %q, want %q", got, tc.want)
		}
	}
	all := Choice{}.Order([]Candidate{cand(1, stands(Ejected), later), cand(2), cand(3, stands(Ejected))}, rand.New(rand.NewPCG(1, 1)))
	for _, v := range all[1:] {
		want := "does not answer others"
		if v.Node[0] == 1 {
			want = "one dial may try again from 03:04:05"
		}
		if got := v.Reason(); !strings.Contains(got, want) {
			t.Errorf("reason %q, want %q", got, want)
		}
	}
}

// TestMany: of very many, the first are those that a full sort puts first.
func TestMany(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var list []Candidate
	for i := range 3000 {
		c := cand(byte(i), priority(r.IntN(2)), stands(Standing(r.IntN(4))), weight(r.IntN(5)))
		c.Node[1] = byte(i >> 8)
		list = append(list, c)
	}
	for k := range uint64(20) {
		all := Choice{Keyed: true, Key: k}.Order(list, nil)
		if len(all) != len(list) {
			t.Fatalf("%d of %d are left", len(all), len(list))
		}
		sorted := slices.Clone(all)
		slices.SortFunc(sorted, func(a, b Verdict) int { return a.compare(&b) })
		trialsLater(sorted[:sortSome])
		for i := range sortSome {
			if all[i].Node != sorted[i].Node {
				t.Fatalf("key %d: place %d is taken by another", k, i)
			}
		}
	}
}

func BenchmarkOrder(b *testing.B) {
	for _, n := range []int{1, 5, 100, 10_000} {
		for bal := BalanceWeighted; int(bal) < len(balances); bal++ {
			b.Run(fmt.Sprintf("%d/%v", n, bal), func(b *testing.B) {
				list := make([]Candidate, n)
				for i := range list {
					list[i] = Candidate{Instance: Instance{Node: identity.NodeID{byte(i), byte(i >> 8)}, Weight: 1 + i%5}, RTT: time.Duration(i) * time.Millisecond}
				}
				r := rand.New(rand.NewPCG(1, 2))
				b.ReportAllocs()
				for b.Loop() {
					Choice{Balance: bal}.Order(list, r)
				}
			})
		}
	}
}
