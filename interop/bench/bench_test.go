//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		of := target.ofCase
		if of == "" {
			of = target.row
		}
		if !slices.Contains(systems[target.row], "serval") {
			t.Errorf("no case %s with serval", target.row)
		}
		if target.peer != "" && !slices.Contains(systems[of], target.peer) {
			t.Errorf("case %s has no %s", of, target.peer)
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

func TestReport(t *testing.T) {
	results := []result{
		summarise(row{name: "bulk-veth", unit: "Mbit/s"}, "serval", []float64{900, 1000, 700}),
		summarise(row{name: "bulk-veth", unit: "Mbit/s"}, "quic-go", []float64{200, 400}),
	}
	name := filepath.Join(t.TempDir(), "out", "bench.jsonl")
	if err := writeJSON(name, results); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(b, []byte("\n"))
	var got result
	if err := json.Unmarshal(first, &got); err != nil {
		t.Fatal(err)
	}
	if want := (result{"bulk-veth", "serval", "Mbit/s", 900, 700, 1000, 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var text strings.Builder
	printTable(&text, results)
	printTargets(&text, results)
	for _, want := range []string{"900 (700-1000)", "300 (200-400)", "3.00", ">= 2.5", "ok"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &text)
		}
	}
}
