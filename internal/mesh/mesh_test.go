package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func pairs(text ...string) (out []Pair) {
	for i := 0; i+1 < len(text); i += 2 {
		out = append(out, Pair{ap(text[i]), ap(text[i+1])})
	}
	return out
}

func TestWant(t *testing.T) {
	const (
		a, b     = "10.1.0.1:1", "10.2.0.1:1" // ours, on eth0 and eth1
		x, y     = "10.1.9.9:7", "10.2.9.9:7" // the peer's
		a6, b6   = "[fd01::1]:1", "[fd02::1]:1"
		x6, y6   = "[fd01::9]:7", "[fd02::9]:7"
		lo, peer = "127.0.0.1:1", "127.0.0.1:7"
	)
	both := []Local{{ap(a), "eth0"}, {ap(b), "eth1"}}
	dual := append(slices.Clone(both), Local{ap(a6), "eth0"}, Local{ap(b6), "eth1"})
	for _, tc := range []struct {
		name    string
		locals  []Local
		remotes []string
		have    []Pair
		most    int
		bad     []Pair
		want    []Pair
	}{
		{"two interfaces here, one address there", both, []string{x}, pairs(a, x), 4, nil, pairs(b, x)},
		{"one here, two there", both[:1], []string{x, y}, pairs(a, x), 4, nil, pairs(a, y)},
		{"two and two: not four", both, []string{x, y}, pairs(a, x), 4, nil, pairs(b, y)},
		{"crossed first flow", both, []string{x, y}, pairs(a, y), 4, nil, pairs(b, x)},
		{"a pair that is bad", both, []string{x, y}, pairs(a, x), 4, pairs(b, y), pairs(b, x, a, y)},
		{"no more than allowed", both, []string{x, y}, pairs(a, x), 1, nil, nil},
		{"all there already", both, []string{x, y}, pairs(a, x, b, y), 4, nil, nil},
		{"one family is enough", dual, []string{x, y, x6, y6}, pairs(a, x), 8, nil, pairs(b, y)},
		{"the first flow's family", dual, []string{x, y, x6, y6}, pairs(b6, y6), 8, nil, pairs(a6, x6)},
		{"an interface with another family only", []Local{{ap(a), "eth0"}, {ap(b6), "eth1"}}, []string{x, x6}, pairs(a, x), 8, nil, pairs(b6, x6)},
		{"loopback does not reach the network", []Local{{ap(a), "eth0"}, {ap(lo), "lo"}}, []string{x}, pairs(a, x), 4, nil, nil},
		{"loopback aliases", []Local{{ap(lo), "lo"}, {ap("127.0.0.2:1"), "lo2"}}, []string{peer}, pairs(lo, peer), 4, nil, pairs("127.0.0.2:1", peer)},
		{"several sockets on a card", []Local{{ap(a), "eth0"}, {ap("10.1.0.1:2"), "eth0#1"}}, []string{x}, pairs(a, x), 4, nil, pairs("10.1.0.1:2", x)},
		{"no flow yet", both, []string{x}, nil, 4, nil, nil},
	} {
		var remotes []netip.AddrPort
		for _, r := range tc.remotes {
			remotes = append(remotes, ap(r))
		}
		got := Want(tc.locals, remotes, tc.have, tc.most, func(p Pair) bool { return slices.Contains(tc.bad, p) })
		if fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestRefuge(t *testing.T) {
	locals := []Local{{ap("10.9.0.1:1"), "eth2"}, {ap("10.1.0.1:1"), "eth0"}, {ap("[fd01::1]:1"), "eth0"}, {ap("10.2.0.1:1"), "eth1"}}
	remotes := []netip.AddrPort{ap("10.2.9.9:7")}
	got := Refuge(locals, remotes, pairs("10.2.0.1:1", "10.2.9.9:7"))
	var slots []string
	for _, l := range got {
		slots = append(slots, l.Slot)
	}
	if fmt.Sprint(slots) != "[eth0 eth2 eth1]" { // eth1 has a flow already
		t.Errorf("refuges in order %v", slots)
	}
}
