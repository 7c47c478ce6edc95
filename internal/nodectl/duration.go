package nodectl

import (
	"encoding/json"
	"math"
	"time"
)

// Duration is a time.Duration that is seconds in JSON, such as 0.02.
type Duration time.Duration

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).Seconds())
}

// UnmarshalJSON implements json.Unmarshaler. What exceeds a time.Duration
// becomes the longest.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s float64
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	ns := math.Round(s * float64(time.Second))
	switch {
	case ns >= math.MaxInt64:
		*d = math.MaxInt64
	case ns <= math.MinInt64:
		*d = math.MinInt64
	default:
		*d = Duration(ns)
	}
	return nil
}
