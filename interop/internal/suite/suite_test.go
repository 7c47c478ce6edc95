package suite

import (
	"slices"
	"testing"
)

type group struct{ rows, systems []string }

func (g *group) Choice() ([]string, *[]string) { return g.rows, &g.systems }

func TestChoose(t *testing.T) {
	systems := []string{"serval", "quic-go", "tcp-bbr"}
	groups := []group{
		{[]string{"bulk"}, systems},
		{[]string{"rr-p50", "rr-p99"}, systems},
		{[]string{"wan-20ms"}, systems},
		{[]string{"wan-100ms"}, systems[1:2]},
	}
	got, err := Choose(&Flags{cases: "rr-p99,wan-*", systems: "serval,tcp-*"}, groups)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, g := range got {
		if !slices.Equal(g.rows, groups[i+1].rows) || !slices.Equal(g.systems, []string{"serval", "tcp-bbr"}) {
			t.Errorf("%v", g)
		}
	}
	if len(groups[1].systems) != 3 {
		t.Error("what was chosen from has changed")
	}
	for _, bad := range []string{"nothing", "[", ""} {
		if _, err := Choose(&Flags{cases: bad, systems: "*"}, groups); err == nil {
			t.Errorf("pattern %q was accepted", bad)
		}
	}
}
