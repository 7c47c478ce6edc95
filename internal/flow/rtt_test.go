package flow

import (
	"testing"
	"time"
)

func TestRTT(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		name                    string
		samples                 []time.Duration
		smoothed, variance, pto time.Duration
	}{
		{"none", nil, initialRTT, 0, 2 * initialRTT},
		{"one", []time.Duration{80 * ms}, 80 * ms, 40 * ms, 250 * ms},
		{"steady", []time.Duration{80 * ms, 80 * ms}, 80 * ms, 30 * ms, 210 * ms},
		{"a jump", []time.Duration{80 * ms, 160 * ms}, 90 * ms, 50 * ms, 300 * ms},
		{"never zero", []time.Duration{-5}, time.Microsecond, 500, 11*ms + time.Microsecond},
	} {
		var r rtt
		for _, s := range tc.samples {
			r.sample(s)
		}
		if r.srtt() != tc.smoothed || r.variance != tc.variance || r.pto() != tc.pto {
			t.Errorf("%s: smoothed %v, variance %v, pto %v", tc.name, r.srtt(), r.variance, r.pto())
		}
	}
}
