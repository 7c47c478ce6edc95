package resolver

import (
	"testing"
	"time"
)

// TestOutliers plays the life of one that fails and recovers.
func TestOutliers(t *testing.T) {
	start := time.Now()
	var o Outliers[string]
	at := func(d time.Duration) time.Time { return start.Add(d) }
	const s = time.Second
	for _, step := range []struct {
		after time.Duration // since the start
		do    string
		want  Standing // just then
		until time.Duration
	}{
		{0, "", Well, 0},
		{0, "fail", Ejected, 5 * s},
		{1 * s, "fail", Ejected, 5 * s}, // a dial that began earlier
		{4 * s, "", Ejected, 5 * s},
		{5 * s, "", Trial, 5 * s},
		{6 * s, "claim", Ejected, 7 * s},
		{6 * s, "claim", Ejected, 7 * s}, // there is one only
		{7 * s, "", Trial, 7 * s},        // nothing came of it
		{8 * s, "claim", Ejected, 9 * s},
		{9 * s, "fail", Ejected, 19 * s}, // twice as long
		{20 * s, "fail", Ejected, 40 * s},
		{40 * s, "fail", Ejected, 80 * s},
		{80 * s, "fail", Ejected, 160 * s},
		{160 * s, "fail", Ejected, 280 * s}, // twice would be too long
		{280 * s, "fail", Ejected, 400 * s},
		{500 * s, "claim", Ejected, 501 * s},
		{500 * s, "answer", Well, 0},
		{501 * s, "fail", Ejected, 506 * s}, // forgiven
		{502 * s, "answer", Well, 0},
		{503 * s, "hold", Ejected, 504 * s},
		{504 * s, "", Well, 0}, // no trial after that
		{504 * s, "hold", Ejected, 505 * s},
		{504 * s, "fail", Ejected, 509 * s},
		{505 * s, "hold", Ejected, 509 * s},
	} {
		now := at(step.after)
		switch step.do {
		case "fail":
			o.Failed("a", now)
		case "claim":
			o.Claim("a", now.Add(s), now)
		case "answer":
			o.Answered("a")
		case "hold":
			o.Hold("a", now.Add(s), now)
		}
		got, until := o.Standing("a", now)
		if got != step.want || got != Well && !until.Equal(at(step.until)) {
			t.Errorf("%v, %q: %v until %v, want %v until %v", step.after, step.do, got, until.Sub(start), step.want, step.until)
		}
		if got, _ := o.Standing("b", now); got != Well {
			t.Fatalf("%v: another one is %v", step.after, got)
		}
	}
}

func TestOutliersAreBounded(t *testing.T) {
	var o Outliers[int]
	now := time.Now()
	for i := range 3 * maxOutliers {
		o.Failed(i, now)
	}
	if n := len(o.known); n > maxOutliers {
		t.Errorf("%d are remembered", n)
	}
	now = now.Add(LongestEjection)
	o.Failed(-1, now)
	if got, _ := o.Standing(-1, now); got != Ejected {
		t.Error("those whose time is over leave no room")
	}
}
