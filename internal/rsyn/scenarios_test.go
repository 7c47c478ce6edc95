package rsyn

import (
	"os"
	"testing"
)

var (
	both  = [2]bool{true, true}
	onlyA = [2]bool{true, false}
)

type pairOf = [2]uint8

var scenarios = []config{
	{name: "one end moves twice", moves: pairOf{2, 0}, soft: true, back: true, sends: pairOf{1, 1}, loss: true, inFlight: 1},
	{name: "one end moves twice, reordered", moves: pairOf{2, 0}, soft: true, back: true, loss: true, inFlight: 2},
	{name: "both ends move", moves: pairOf{1, 1}, soft: true, sends: pairOf{1, 1}, loss: true, hints: both, inFlight: 1},
	{name: "both ends move twice", moves: pairOf{2, 2}, soft: true, loss: true, hints: both, inFlight: 1},
	{name: "both ends move twice, one is known", moves: pairOf{2, 2}, loss: true, hints: onlyA, inFlight: 1},
	{name: "join", moves: pairOf{1, 1}, sends: pairOf{1, 1}, loss: true, join: true, hints: both, inFlight: 1},
	{name: "NAT", moves: pairOf{1, 1}, sends: pairOf{2, 1}, loss: true, nat: true, hints: both, inFlight: 1},
	{name: "NAT, unknown", moves: pairOf{1, 1}, sends: pairOf{1, 1}, loss: true, nat: true, again: true, knowing: onlyA, hints: onlyA, inFlight: 1},
	{name: "soft move, late data", moves: pairOf{1, 0}, soft: true, sends: pairOf{2, 0}, timely: true, inFlight: 6},
	{name: "move copied", moves: pairOf{1, 0}, sends: pairOf{1, 1}, copies: 2, fronts: both, loss: true, inFlight: 2},
	{name: "data copied", sends: pairOf{1, 1}, copies: 3, fronts: both, loss: true, inFlight: 2},
	{name: "both moves copied", moves: pairOf{1, 1}, hints: both, loss: true, copies: 2, fronts: both, inFlight: 1},
	{name: "both moves copied, one is known", moves: pairOf{1, 1}, hints: onlyA, loss: true, copies: 2, fronts: both, inFlight: 1},
	{name: "data copied, answers spoofed", sends: pairOf{1, 0}, copies: 2, fronts: both, spoofs: true, timely: true, inFlight: 6},
	{name: "join copied", join: true, sends: pairOf{1, 1}, copies: 2, fronts: both, loss: true, inFlight: 1},
}

// large are for RSYN_EXPLORE=1: minutes, and some gigabytes.
var large = []config{
	{name: "one end moves twice, data reordered", moves: pairOf{2, 0}, soft: true, back: true, sends: pairOf{1, 1}, loss: true, inFlight: 2},
	{name: "both ends move, three in flight", moves: pairOf{1, 1}, loss: true, hints: both, inFlight: 3},
	{name: "both ends move twice, back", moves: pairOf{2, 2}, soft: true, back: true, loss: true, hints: both, inFlight: 1},
	{name: "both ends move twice, reordered", moves: pairOf{2, 2}, loss: true, hints: both, inFlight: 2},
	{name: "join, reordered", moves: pairOf{1, 1}, sends: pairOf{1, 1}, loss: true, join: true, hints: both, inFlight: 2},
	{name: "NAT, reordered", moves: pairOf{0, 1}, sends: pairOf{2, 1}, loss: true, nat: true, hints: both, inFlight: 2},
}

var raceEnabled bool

// bound is how many worlds a scenario may have: the first ones, by the number of
// steps that lead there.
func bound() int {
	switch {
	case os.Getenv("RSYN_EXPLORE") != "":
		return 4000000
	case testing.Short() || raceEnabled:
		return 10000
	}
	return 350000
}

func TestExplore(t *testing.T) {
	all := scenarios
	if os.Getenv("RSYN_EXPLORE") != "" {
		all = append(all[:len(all):len(all)], large...)
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.limit = bound()
			r := explore(&c)
			if r.broken != "" {
				t.Fatal(r.String())
			}
			t.Logf("%s: %d worlds, %d transitions, %d steps deep, all of them: %v", c.name, r.states, r.transitions, r.depth, r.complete)
		})
	}
}
