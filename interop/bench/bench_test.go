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
