package rsyn

import "testing"

// TestMutants breaks the machine in one way at a time and wants the explorer to
// notice. With -v the shortest way to the failure is shown.
func TestMutants(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("takes seconds")
	}
	bugs := []struct {
		bug  bug
		name string
	}{
		{bugOrder, "the prototype's order bug"},
		{bugOldVerno, "old version accepted"},
		{bugNoChallenge, "no challenge"},
		{bugAnswerAll, "every CHALLENGE answered"},
		{bugDropOwn, "own RSYN dropped for the peer's"},
		{bugNoIncumbent, "incumbent not asked"},
		{bugTrustRebound, "rebound address trusted"},
		{bugAnyPlace, "RESPONSE from anywhere"},
		{bugEarlyData, "data before validation"},
		{bugOnce, "RSYN not repeated"},
		{bugTrustMoved, "source of an RSYN trusted"},
		{bugSilent, "repeated RSYN not answered"},
	}
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range scenarios {
				c.bug, c.limit = b.bug, bound()
				if r := explore(&c); r.broken != "" {
					t.Logf("%s: %s", c.name, r.String())
					return
				}
			}
			t.Error("not noticed")
		})
	}
}
