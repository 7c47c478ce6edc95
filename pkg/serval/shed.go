package serval

import (
	"math/rand/v2"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

const (
	// hintUnit is when an instance that has just as much to do as it can wishes to
	// be asked again, and hintMost when the busiest does.
	hintUnit = 200 * time.Millisecond
	hintMost = 4 * time.Second
)

// shed refuses a SYN for want of room. Who was refused at the same time shall not
// come back at the same time.
func shed(load float64) sal.Refuse {
	d := time.Duration(min(max(load, 1)*float64(hintUnit), float64(hintMost)))
	return sal.Refuse{Code: sal.Overloaded, RetryAfter: d/2 + rand.N(d)}
}
