package resolver

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/pkg/identity"
)

// Choice is what a dialler wants of the instance that it gets. The zero value
// leaves it to what the instances wish.
type Choice struct {
	// Balance is how to choose among instances of one priority; BalanceDefault
	// is what most of them wish.
	Balance Balance

	// Keyed asks for an owner of Key, which is of the service's key space: an
	// instance one of whose Keys has it, those of the longest prefix first, then
	// one without any. Of several, BalanceHash finds the same each time, unless
	// Balance or the wish of those with Keys says otherwise.
	Keyed bool
	Key   uint64

	// Affinity stands for who dials, where BalanceHash has no key to go by: the
	// same finds the same instance.
	Affinity uint64

	// Only is the one instance wanted; zero means any. One whose node is not
	// known may be it.
	Only identity.NodeID

	// Rather and RatherAt are the instance to come first unless it is ejected;
	// zero means none. The address counts where the node is not known.
	Rather   identity.NodeID
	RatherAt netip.AddrPort
}

// Candidate is an instance and what there is to know of it besides its record.
type Candidate struct {
	Instance

	// Bits is how long the prefix is that it is known for, without keys. Longer
	// ones come first, and among equals those that a rule of the own node names.
	Bits int
	Rule bool

	// RTT is the round trip measured to it; 0 means that none was.
	RTT time.Duration

	// Unreachable says that none of its addresses can be reached from here.
	Unreachable bool

	// Standing is how it fared lately, and Until when that ends unless it is
	// Well. Suspect counts for nothing here: see Heard.
	Standing Standing
	Until    time.Time
}

// Heard adds to what the dialler itself has seen of an instance what its resolver
// says.
func (c *Candidate) Heard() {
	if c.Standing == Well && c.Suspect {
		c.Standing = Ejected
	}
}

// PanicThreshold is the share of a priority's instances, by weight, that must not
// be ejected. If fewer are left, and other priorities do not make up for it,
// ejection counts for nothing: rather than many instances the way to them is
// broken, or those that are left would break too.
const PanicThreshold = 0.3

// Overprovision is how much more than its share an instance is taken to bear. So
// the next priority joins in when less than 1/1.4, or 71 %, of the best is there
// to be asked; when it is 35 %, the next gets half.
const Overprovision = 1.4

// Random is where chance comes from; *rand.Rand is one.
type Random interface {
	Float64() float64    // from 0 to below 1
	ExpFloat64() float64 // exponentially distributed, at a rate of 1
}

// Order puts candidates in the order to ask them in, and says why. Those that
// are out of the question come last, see Verdict.Excluded. It changes neither
// the list nor anything else. Of more than 256 only the first 64 are put in order.
//
// By importance: instances that can be asked come before those that say they are
// full or have just declined, and these before those that were silent; then
// longer prefixes, then larger priorities, see Overprovision, then what the
// Balance says. One on trial may come first, but in other places comes after
// those that are well.
func (c Choice) Order(list []Candidate, random Random) []Verdict {
	all := c.admit(list)
	slices.SortFunc(all, func(a, b Verdict) int {
		return cmp.Or(cmp.Compare(a.Excluded, b.Excluded), a.compareGroup(&b))
	})
	in := all
	for len(in) > 0 && in[len(in)-1].Excluded != Included {
		in = in[:len(in)-1]
	}
	groups := split(in)
	pardon(groups)
	for _, g := range groups {
		c.score(g, random)
	}
	c.lead(groups, random)
	trialsLater(sortBest(in))
	c.ratherFirst(in)
	return all
}

// admit makes verdicts of candidates and finds who is out of the question.
func (c Choice) admit(list []Candidate) []Verdict {
	all := make([]Verdict, len(list))
	for i := range list {
		v := &all[i]
		v.Candidate = list[i]
		if c.Keyed {
			v.KeyBits = owned(v.Keys, c.Key)
		}
		switch {
		case c.Only != identity.NodeID{} && v.Node != c.Only && v.named():
			v.Excluded = NotAsked
		case v.KeyBits < 0:
			v.Excluded = NotOwner
		case v.Candidate.Unreachable:
			v.Excluded = Unreachable
		}
		v.fit = 2 * (v.Bits + max(v.KeyBits, 0))
		if v.Rule {
			v.fit++
		}
		if v.Standing == Well && v.Load >= 1 {
			v.Standing = Busy
		}
	}
	return all
}

// pardon lets the ejected of a group be asked, if they are too many and there are
// not enough others.
func pardon(groups [][]Verdict) {
	enough := 0.0
	left := make([]float64, len(groups)) // the shares that are not ejected
	for i, g := range groups {
		var all float64
		for k := range g {
			w := g[k].weight()
			all += w
			if g[k].Standing != Ejected {
				left[i] += w
			}
		}
		left[i] /= all
		enough += min(1, Overprovision*left[i])
	}
	if enough >= 1 {
		return
	}
	for i, g := range groups {
		for k := range g {
			g[k].Pardoned = left[i] < PanicThreshold && g[k].Standing == Ejected
		}
	}
}

// split cuts a list where one group, of equal fit and priority, ends.
func split(all []Verdict) (groups [][]Verdict) {
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].compareGroup(&all[0]) == 0 {
			n++
		}
		groups = append(groups, all[:n])
		all = all[n:]
	}
	return groups
}

// lead finds the group to begin with. Of the best fit that has anybody to ask,
// that is one of its priorities, each as often as it has room.
func (c Choice) lead(groups [][]Verdict, random Random) {
	for i, g := range groups {
		if _, there := room(g); there == 0 {
			continue
		}
		var same [][]Verdict // of the same fit
		for _, h := range groups[i:] {
			if h[0].fit == g[0].fit {
				same = append(same, h)
			}
		}
		leading := same[c.drawGroup(same, random)]
		for k := range leading {
			leading[k].lead = true
		}
		return
	}
}

// drawGroup draws one of several priorities.
func (c Choice) drawGroup(groups [][]Verdict, random Random) int {
	shares := make([]float64, len(groups))
	left, sum := 1.0, 0.0
	for i, g := range groups {
		all, there := room(g)
		shares[i] = min(left, Overprovision*there/all)
		left -= shares[i]
		sum += shares[i]
	}
	var at float64
	switch {
	case shares[0] >= sum:
		return 0 // as nearly always
	case groups[0][0].Balance == BalanceHash:
		at = unit(spread(c.affinity())) * sum
	default:
		at = random.Float64() * sum
	}
	last := 0
	for i, s := range shares {
		if s == 0 {
			continue
		}
		if last = i; at < s {
			break
		}
		at -= s
	}
	return last
}

// room sums the weights of a group, and of those in it that can be asked.
func room(g []Verdict) (all, there float64) {
	for i := range g {
		w := g[i].weight()
		all += w
		if g[i].class() == ready {
			there += w
		}
	}
	return all, there
}

// trialsLater moves those on trial behind those that are well, but for the first:
// one is enough to wait for.
func trialsLater(all []Verdict) {
	n := 1
	for n < len(all) && all[n].class() == ready {
		n++
	}
	if n > 2 {
		slices.SortStableFunc(all[1:n], func(a, b Verdict) int {
			return cmp.Compare(a.later(), b.later())
		})
	}
}

// ratherFirst moves the instance to come first there.
func (c Choice) ratherFirst(all []Verdict) {
	if c.Rather == (identity.NodeID{}) {
		return
	}
	for i := range all {
		v := all[i]
		if v.class() == out || v.named() && v.Node != c.Rather || !v.named() && !slices.Contains(v.Addrs, c.RatherAt) {
			continue
		}
		v.Rather = true
		copy(all[1:], all[:i])
		all[0] = v
		return
	}
}
