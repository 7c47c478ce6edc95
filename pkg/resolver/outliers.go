package resolver

import (
	"cmp"
	"sync"
	"time"
)

// Defaults of Outliers.
const (
	// FirstEjection is how long the first failure keeps others from being asked.
	FirstEjection = 5 * time.Second
	// LongestEjection is the most that failures in a row make of it.
	LongestEjection = 2 * time.Minute

	maxOutliers = 4096
)

// Outliers remembers who failed lately, K being what tells one from another. A
// failure ejects for a while; when that is over, one attempt may try whether it
// is well again. If that fails too, it is ejected for twice as long.
//
//	Well --Failed--> Ejected --time--> Trial --Claim--> Ejected, until the outcome
//	  ^                                  |                 |
//	  +------------- Answered -----------+-----------------+
//
// At most 4096 are remembered. The zero value knows of none. All methods are
// safe for concurrent use.
type Outliers[K comparable] struct {
	// First and Longest are how long the first ejection and any may last; 0
	// means the defaults. They must not change once Outliers is in use.
	First, Longest time.Duration

	mu    sync.Mutex
	known map[K]outlier
}

type outlier struct {
	until  time.Time // when it may be tried again
	times  int       // failures in a row; several during one ejection are one
	claims bool      // until is when the attempt under way is given up for lost
}

// Failed notes a failure. One that others have reported since the last trial is
// known already.
func (o *Outliers[K]) Failed(k K, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.known[k]
	if was.times > 0 && !was.claims && now.Before(was.until) {
		return
	}
	o.set(k, outlier{until: now.Add(o.ejection(was.times)), times: was.times + 1}, now)
}

// ejection is how long to eject after so many failures before this one.
func (o *Outliers[K]) ejection(before int) time.Duration {
	first, longest := cmp.Or(o.First, FirstEjection), cmp.Or(o.Longest, LongestEjection)
	return min(first<<min(before, 16), longest)
}

// Hold ejects for as long as the one concerned has asked for, which is no
// failure: when it is over, everybody may come again.
func (o *Outliers[K]) Hold(k K, until, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if was, known := o.known[k]; !known || was.times == 0 && was.until.Before(until) {
		o.set(k, outlier{until: until}, now)
	}
}

// Answered forgets all failures.
func (o *Outliers[K]) Answered(k K) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, k)
}

// Standing returns how one stands, and until when unless that is Well.
func (o *Outliers[K]) Standing(k K, now time.Time) (Standing, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was, known := o.known[k]
	switch {
	case !known || was.times == 0 && !now.Before(was.until):
		return Well, time.Time{}
	case now.Before(was.until):
		return Ejected, was.until
	}
	return Trial, was.until
}

// Claim takes the one trial there is. Until the outcome is reported, or the time
// given has passed, others find it ejected.
func (o *Outliers[K]) Claim(k K, until, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if was, known := o.known[k]; known && was.times > 0 && !now.Before(was.until) {
		was.until, was.claims = until, true
		o.known[k] = was
	}
}

// set remembers one, in the place of those whose ejection is over if there is no
// room. The caller holds the lock.
func (o *Outliers[K]) set(k K, v outlier, now time.Time) {
	if _, known := o.known[k]; !known && len(o.known) >= maxOutliers {
		for k, old := range o.known {
			if !now.Before(old.until) {
				delete(o.known, k)
			}
		}
		if len(o.known) >= maxOutliers {
			return
		}
	}
	if o.known == nil {
		o.known = make(map[K]outlier)
	}
	o.known[k] = v
}
