package resolver

import "time"

// How BalanceNearest takes what was measured.
const (
	// Round trips that differ by less count as equal: no two measurements agree.
	nearFactor = 1.25
	nearSlack  = 500 * time.Microsecond

	// exploreShare of the dials go to an instance to which nothing was measured,
	// while there is one.
	exploreShare = 1.0 / 8
)

// affinity is what BalanceHash goes by.
func (c Choice) affinity() uint64 {
	if c.Keyed {
		return c.Key
	}
	return c.Affinity
}

// balance returns how to choose within a group.
func (c Choice) balance(g []Verdict) Balance {
	if c.Balance != BalanceDefault {
		return c.Balance
	}
	var votes [len(balances)]int
	for i := range g {
		if wish := g[i].Instance.Balance; wish != BalanceDefault && (!c.Keyed || len(g[i].Keys) > 0) {
			votes[int(wish)%len(votes)]++
		}
	}
	most := BalanceDefault // which has no votes
	for b := range votes {
		if votes[b] > votes[most] {
			most = Balance(b)
		}
	}
	switch {
	case most != BalanceDefault:
		return most
	case c.Keyed:
		return BalanceHash
	}
	return BalanceWeighted
}

// score says for each of a group how it stands against the others: first by
// tier, then by score, the least first.
//
// The first of several exponential clocks to ring, each at a rate of its weight,
// is one drawn by weight; so is the next of the others.
func (c Choice) score(g []Verdict, random Random) {
	b := c.balance(g)
	for i := range g {
		v := &g[i]
		v.Balance = b
		if b == BalanceHash {
			v.Score = HashLuck(c.affinity(), &v.Instance)
		} else {
			v.Score = random.ExpFloat64() / v.weight()
		}
	}
	switch b {
	case BalanceLeastLoad:
		lessLoaded(g)
	case BalanceNearest:
		nearest(g, random)
	}
}

// lessLoaded puts the less loaded of the two first before all others. To take
// the least loaded of all would make every dialler take the same, until it says
// that it is not any more.
func lessLoaded(g []Verdict) {
	var first, second *Verdict
	for i := range g {
		v := &g[i]
		switch {
		case v.class() != ready:
		case first == nil || v.Score < first.Score:
			first, second = v, first
		case second == nil || v.Score < second.Score:
			second = v
		}
	}
	if second != nil && second.Load < first.Load {
		second.tier = -1
	}
}

// nearest puts those first that are about as near as the nearest, then those of
// which nothing is known, then the others by distance. Now and then it is the
// turn of the unknown: else they would remain so.
func nearest(g []Verdict, random Random) {
	least, unknown := time.Duration(0), false
	for i := range g {
		switch v := &g[i]; {
		case v.class() != ready:
		case v.RTT == 0:
			unknown = true
		case least == 0 || v.RTT < least:
			least = v.RTT
		}
	}
	explore := unknown && least > 0 && random.Float64() < exploreShare
	near := time.Duration(float64(least)*nearFactor) + nearSlack
	for i := range g {
		switch v := &g[i]; {
		case v.RTT == 0 && explore:
			v.tier = -1
		case v.RTT == 0:
			v.tier = 1
		case v.RTT > near:
			v.tier, v.Score = 2, v.RTT.Seconds()
		}
	}
}
