package suite

import (
	"context"
	"errors"
	"testing"

	"github.com/serval-net/serval/interop/bench/score"
)

func TestMeasure(t *testing.T) {
	asked := map[string]int{}
	run := func(_ context.Context, system string) (map[string]float64, error) {
		asked[system]++
		if system == "broken" && asked[system] == 1 {
			return nil, errors.New("no luck")
		}
		return map[string]float64{"rate": float64(asked[system]), "time": 7}, nil
	}
	got, err := Measure(t.Context(), 3, []Case{
		{Rows: []Row{{"rate", "1/s"}, {"time", "ms"}}, Systems: []string{"good", "broken"}, Run: run},
		{Rows: []Row{{"count", "1"}}, Systems: []string{"once"}, Run: func(context.Context, string) (map[string]float64, error) {
			return map[string]float64{"count": 1}, nil
		}, Once: true},
	})
	if err == nil || err.Error() != "rate, broken: no luck" {
		t.Error(err)
	}
	want := []score.Result{
		{Case: "rate", System: "good", Unit: "1/s", Median: 2, Min: 1, Max: 3, Runs: 3},
		{Case: "rate", System: "broken", Unit: "1/s", Median: 2.5, Min: 2, Max: 3, Runs: 2},
		{Case: "time", System: "good", Unit: "ms", Median: 7, Min: 7, Max: 7, Runs: 3},
		{Case: "time", System: "broken", Unit: "ms", Median: 7, Min: 7, Max: 7, Runs: 2},
		{Case: "count", System: "once", Unit: "1", Median: 1, Min: 1, Max: 1, Runs: 1},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}

func TestMeasureEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	_, err := Measure(ctx, 5, []Case{{Rows: []Row{{"rate", "1/s"}}, Systems: []string{"one"}, Run: func(context.Context, string) (map[string]float64, error) {
		runs++
		cancel()
		return nil, nil
	}}})
	if runs != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d runs, %v", runs, err)
	}
}
