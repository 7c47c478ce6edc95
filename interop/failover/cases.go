//go:build linux

package main

import "github.com/serval-net/serval/interop/bench/score"

// all is the systems, in the order of the table. What serval's path policy is in
// a case follows from the case's name; elsewhere it is the default, aggregate.
var all = []string{"serval", "mptcp", "quic-go", "tcp"}

// groups returns everything the benchmark measures.
func groups() []group {
	several := []string{"serval", "mptcp"} // those that use several paths at once
	lasting := []string{"serval", "mptcp", "quic-go"}
	return []group{
		efficiencyGroup("agg-equal", good, good, []row{{"single-path-rate", "Mbit/s"}}, several...),
		efficiencyGroup("agg-unequal", good, far, nil, several...),
		harmGroup("agg-harm-loss1", lossy(0.01), false, several...),
		harmGroup("agg-harm-loss5", lossy(0.05), false, several...),
		harmGroup("agg-harm-bloat", bloated, false, several...),
		harmGroup("agg-harm-flap", good, true, several...),
		gapGroup("gap-linkdown-aggregate", "", linkDown, all...),
		gapGroup("gap-addrdel-aggregate", "", addrRemoved, lasting...),
		gapGroup("gap-linkdown-failover", "failover", linkDown, "serval", "quic-go"),
		gapGroup("gap-blackhole-aggregate", "", blackhole, all...),
		anyGroup("gap-any-redundant", "redundant", "serval"),
		restoreGroup(several...),
		changeGroup("gap-addrswap-single", swapAddress, all...),
		changeGroup("gap-natrebind-single", rebindNAT, all...),
		changeGroup("gap-bothmove", moveBoth, all...),
		outageGroup(all...),
		movesGroup("serval", "quic-go"),
		idleGroup(lasting...),
		oneFlowGroup(),
	}
}

// oneFlowBefore is the rate of one flow over a cable to that of TLS before
// connections could have several.
const oneFlowBefore = 0.866

// targets is what serval must reach.
var targets = []score.Target{
	atLeast("agg-equal-efficiency", 0.98),
	atLeast("agg-unequal-efficiency", 0.95),
	atLeast("single-path-rate", 92.5),
	atLeast("agg-harm-loss1", 1),
	atLeast("agg-harm-loss5", 1),
	atLeast("agg-harm-bloat", 1),
	atLeast("agg-harm-flap", 1),
	atMost("gap-linkdown-aggregate", 80),
	atMost("gap-addrdel-aggregate", 80),
	atMost("gap-linkdown-failover", 50),
	atMost("gap-blackhole-aggregate", 150),
	atMost("gap-any-redundant", 15),
	atMost("restore-full-rate", 1),
	atMost("restore-used", 2),
	atMost("gap-addrswap-single", 100),
	atMost("gap-natrebind-single", 100),
	atMost("gap-bothmove", 500),
	atMost("resume-60s", 500),
	atLeast("migrations-1000", 1000),
	atMost("migrations-1000-memory", 1.2),
	atMost("idle-1000-move", 1000),
	atLeast("one-flow-cost", 0.97*oneFlowBefore),
}

func atLeast(row string, bound float64) score.Target {
	return score.Target{Row: row, Must: bound, Aim: bound}
}

func atMost(row string, bound float64) score.Target {
	return score.Target{Row: row, Must: bound, Aim: bound, LowerWins: true}
}
