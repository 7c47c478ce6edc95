package serval

import (
	"strings"
	"testing"
)

func TestParsePolicy(t *testing.T) {
	for text, want := range map[string]Policy{
		"automatic": {}, "aggregate": {Mode: Aggregate}, "failover": {Mode: Failover}, "redundant": {Mode: Redundant},
		"pinned(wlan0)": {Pinned, "wlan0"}, "pinned:eth1": {Pinned, "eth1"},
	} {
		got, err := ParsePolicy(text)
		if err != nil || got != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
		if again, err := ParsePolicy(got.String()); err != nil || again != got {
			t.Errorf("%q comes back as %v, %v", got.String(), again, err)
		}
	}
	for _, text := range []string{"", "fast", "pinned", "pinned()", "pinned(eth0", "pinned:", "Mode(9)"} {
		if p, err := ParsePolicy(text); err == nil || !strings.Contains(err.Error(), "write") {
			t.Errorf("%q is %v, %v", text, p, err)
		}
	}
}

func TestInterfaceRules(t *testing.T) {
	rules := []InterfaceRule{{Name: "wwan0", Exclude: true}, {Name: "wwan*", Cost: 10}}
	if err := checkRules(rules); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		cost uint8
		out  bool
	}{"eth0": {0, false}, "wwan0": {0, true}, "wwan1": {10, false}} {
		if cost, out := price(rules, name); cost != want.cost || out != want.out {
			t.Errorf("%s costs %d, excluded %v", name, cost, out)
		}
	}
	for _, bad := range []InterfaceRule{{}, {Name: "["}, {Name: "eth0", Cost: 255}, {Name: "eth0", Cost: -1}} {
		if checkRules([]InterfaceRule{bad}) == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
