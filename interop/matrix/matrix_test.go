//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/failover/rig"
	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/interop/lab"
)

func TestMain(m *testing.M) {
	if rig.IsProcess() {
		if err := rig.Process(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// some is the part of the matrix that every test run does: each event, mover,
// family and kind of traffic appears.
var some = []string{
	"client/v4/link-down/down",
	"client/v6/blackhole/up",
	"server/dual/link-down/ask",
	"client/v4/NAT-rebind/down",
	"both/v4/address-swap/up",
	"server/v6/flap/down",
}

func TestSomeOfTheMatrix(t *testing.T) {
	if err := cluster.Share(); err != nil {
		t.Fatal(err)
	}
	var chosen []cell
	for _, c := range cells() {
		if slices.Contains(some, c.String()) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) != len(some) {
		t.Fatalf("%d of %d cells exist", len(chosen), len(some))
	}
	slots := make(chan struct{}, 3)
	for _, c := range chosen {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			gap, err := c.run(t.Context(), "serval", quickTimes)
			if errors.Is(err, lab.ErrUnavailable) {
				t.Skip(err)
			}
			if err != nil {
				t.Error(err)
			}
			t.Logf("gap %v", gap)
		})
	}
}

func TestCellsSayWhatMakesNoSense(t *testing.T) {
	all := cells()
	if want := len(movers) * len(families) * len(events) * len(kinds); len(all) != want {
		t.Errorf("%d cells, want %d", len(all), want)
	}
	for _, c := range all {
		absurd := c.event.name == "NAT rebind" && c.mover != "client"
		if absurd != (c.absurd() != "") {
			t.Errorf("%s: makes no sense: %q", c, c.absurd())
		}
	}
}

func TestMarkdown(t *testing.T) {
	all := []outcome{
		{Cell: "client/v4/flap/up", Mover: "client", Family: "v4", Event: "flap", Kind: "up", Gaps: []float64{10, 30, 20}, Runs: 3},
		{Cell: "both/v4/flap/up", Mover: "both", Family: "v4", Event: "flap", Kind: "up", Errors: []string{"lost"}, Runs: 1},
		{Mover: "server", Family: "v4", Event: "NAT rebind", Absurd: "no reason"},
	}
	page := markdown(all, time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	for _, want := range []string{
		"| flap | client | 20 / 30 | failed | failed | 3 of 3 |",
		"| flap | both | failed | failed | failed | 0 of 1 |",
		"makes no sense: no reason",
		"21 November 2026",
		"- both/v4/flap/up: lost",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}
