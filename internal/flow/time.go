package flow

import (
	"math"
	"time"
)

// Time is a reading of the node's monotonic clock in nanoseconds; zero means
// unset.
type Time int64

// Never is later than every event.
const Never Time = math.MaxInt64

// Add returns t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Seconds converts, and keeps what is absurdly long representable.
func Seconds(s float64) time.Duration { return time.Duration(min(s, 1e6) * 1e9) }
