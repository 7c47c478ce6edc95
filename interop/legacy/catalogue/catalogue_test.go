//go:build linux

package catalogue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// TestSomePrograms runs the quick part of the catalogue; make programs runs all.
func TestSomePrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts real servers and clients, for about a minute")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	all, err := Table(ctx, slices.DeleteFunc(All(), func(p *Program) bool { return !p.Quick }), Options{
		Watch: 500 * time.Millisecond,
		Say: func(o Outcome) {
			if o.Failed() {
				t.Error(o)
			} else {
				t.Log(o)
			}
		},
	})
	if errors.Is(err, lab.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := Count(all); n.Ran == 0 {
		t.Skip("none of the programs is installed: run interop/setup.sh programs")
	}
}

func TestProgramsAreWhole(t *testing.T) {
	names := map[string]bool{}
	for _, p := range All() {
		if names[p.Name] || p.Name == "" {
			t.Errorf("two programs are %q", p.Name)
		}
		names[p.Name] = true
		if servers[p.service] == nil || p.works == nil || len(p.Ways) == 0 {
			t.Errorf("%s lacks something", p.Name)
		}
		if servers[p.service] != nil && servers[p.service].udp && slices.Contains(p.Ways, stage.Socks) {
			t.Errorf("%s: which proxy carries its datagrams?", p.Name)
		}
	}
}

func TestMissing(t *testing.T) {
	p := &Program{Needs: []string{"no-such-program", "sh"}, service: "svc:chat"}
	if got := p.Missing(); len(got) == 0 || got[0] != "no-such-program" || slices.Contains(got, "sh") {
		t.Errorf("%q", got)
	}
}

func TestOutcome(t *testing.T) {
	all := []Outcome{
		{Program: "a", Way: stage.Forward, Works: true, Cut: true, Survived: true, Runs: 6, Union: 3, Most: 1},
		{Program: "a", Way: stage.Exec, Works: true, Cut: true, Why: []string{"while the network broke: reset"}},
		{Program: "b", Way: stage.TUN, Missing: []string{"b"}},
	}
	if n := Count(all); n != (Counts{Ran: 2, Passed: 2, Cut: 2, Survived: 1}) {
		t.Errorf("%+v", n)
	}
	for i, want := range []string{"6 runs at 3 instances, each at 1, survived", "works\n  while the network broke: reset", "skipped: b missing"} {
		if !strings.Contains(all[i].String(), want) || all[i].Failed() != (i == 1) {
			t.Errorf("%q lacks %q", all[i], want)
		}
	}
}

func TestText(t *testing.T) {
	one, other := text(1000, 1), text(1000, 2)
	if len(one) != 1000 || one == other || !strings.Contains(one, "\n") || strings.Trim(one, "\n!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
		t.Errorf("%q", one)
	}
}

func TestLasting(t *testing.T) {
	for _, watch := range []time.Duration{0, time.Second, 3 * time.Second} {
		if lead := (&House{seed: &seed{lasts: Lasting(watch)}}).lead(watch); lead <= 0 || lead+stage.Cuts(watch) >= Lasting(watch) {
			t.Errorf("after %v with %v between changes, %v are left", lead, watch, Lasting(watch))
		}
	}
}

func TestBatches(t *testing.T) {
	all := All()
	seen := 0
	for _, b := range batches(all) {
		single := 0
		for _, p := range b {
			seen++
			if servers[p.service].single {
				single++
			}
		}
		if len(b) > atOnce || single > 1 {
			t.Errorf("%d programs at once, %d of them of one server with room for one", len(b), single)
		}
	}
	if seen != len(all) {
		t.Errorf("%d of %d programs", seen, len(all))
	}
}
