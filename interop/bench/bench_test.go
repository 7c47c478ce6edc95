//go:build linux

package main

import (
	"slices"
	"testing"
)

func TestTargetsNameCasesAndSystems(t *testing.T) {
	systems := map[string][]string{}
	for _, g := range fullPlan.groups() {
		for _, r := range g.rows {
			if systems[r.name] != nil {
				t.Errorf("case %s appears twice", r.name)
			}
			systems[r.name] = g.systems
		}
	}
	for _, target := range targets {
		of := target.OfCase
		if of == "" {
			of = target.Row
		}
		if !slices.Contains(systems[target.Row], "serval") {
			t.Errorf("no case %s with serval", target.Row)
		}
		if target.Peer != "" && !slices.Contains(systems[of], target.Peer) {
			t.Errorf("case %s has no %s", of, target.Peer)
		}
	}
}

func TestChoose(t *testing.T) {
	groups, err := choose(quickPlan.groups(), []string{"rr-veth-p99", "wan-20ms-*"}, []string{"serval", "tcp-*"})
	if err != nil || len(groups) != 4 {
		t.Fatalf("%d groups, %v", len(groups), err)
	}
	for _, g := range groups {
		if !slices.Equal(g.systems, []string{"serval", "tcp-cubic", "tcp-bbr"}) {
			t.Errorf("%s: systems %v", g.rows[0].name, g.systems)
		}
	}
	for _, bad := range []string{"nothing", "[", ""} {
		if _, err := choose(quickPlan.groups(), []string{bad}, []string{"*"}); err == nil {
			t.Errorf("pattern %q was accepted", bad)
		}
	}
}
