//go:build linux

package main

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/interop/scenario"
)

// TestMain lets the test binary be the processes of a run.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == processArg {
		if err := process(os.Args[2]); err != nil {
			io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestScenariosAreRight(t *testing.T) {
	all, err := names()
	if err != nil || len(all) < 5 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, name := range all {
		s, err := load(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := parseOptions(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s.Title == "" {
			t.Errorf("%s has no title", name)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	for _, o := range []map[string]string{
		{"traffic": "sideways"}, {"streams": "0"}, {"maxflows": "17"}, {"policy": "hope"}, {"cost": "eth2"}, {"colour": "red"},
	} {
		if _, err := parseOptions(&scenario.Scenario{Options: o}); err == nil {
			t.Errorf("%v was accepted", o)
		}
	}
}

func TestPattern(t *testing.T) {
	var whole, parts, checked pattern
	want := string(whole.next(1000))
	got := ""
	for n := 1; len(got) < 900; n++ {
		got += string(parts.next(n))
	}
	if got != want[:len(got)] {
		t.Error("the pattern depends on how it is cut")
	}
	b := []byte(want)
	if err := checked.check(b[:501]); err != nil {
		t.Error(err)
	}
	b[700]++
	if err := checked.check(b[501:]); err == nil || err.Error() != "byte 700 of the stream is wrong" {
		t.Errorf("a wrong byte: %v", err)
	}
}

// TestPlay runs a short scenario with everything in it, both directions at once.
func TestPlay(t *testing.T) {
	if err := cluster.Share(); err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Parse(`
		path a 20mbit 10ms
		path b 20mbit 10ms
		use traffic both
		use policy failover
		use cost eth2=5
		at 500ms blackhole a
		at 1500ms tell client policy 1 aggregate
		at 2s unblackhole a
		end 3s`)
	if err != nil {
		t.Fatal(err)
	}
	tl, summary, err := play(t.Context(), s)
	if errors.Is(err, lab.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s", summary, tl.Table())
	streams := 0
	for _, series := range tl.Series {
		total := uint64(0)
		for _, n := range series.Bytes {
			total += n
		}
		if total == 0 && series.Kind == scenario.Stream {
			t.Errorf("nothing received: %s", series.Name)
		}
		if series.Kind == scenario.Stream {
			streams++
		}
	}
	if streams != 2 || len(tl.Series) != 4 {
		t.Errorf("%d streams of %d series", streams, len(tl.Series))
	}
}
