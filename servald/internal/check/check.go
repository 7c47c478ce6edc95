// Package check asks servers that know nothing of Serval how they are: whether
// they are well, and how busy.
package check

import (
	"context"
	"time"
)

// Config says how a server is watched. The zero value asks every 2 seconds.
type Config struct {
	// Every is the time between questions, Timeout how long an answer may take.
	// 0 means 2 seconds, and Every but at most 5 seconds.
	Every, Timeout time.Duration

	// Fall is how many failures in a row it takes to be ill, Rise how many good
	// answers to be well again. 0 means 2 and 2.
	Fall, Rise int
}

func (c Config) withDefaults() Config {
	if c.Every <= 0 {
		c.Every = 2 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = min(c.Every, 5*time.Second)
	}
	if c.Fall <= 0 {
		c.Fall = 2
	}
	if c.Rise <= 0 {
		c.Rise = 2
	}
	return c
}

// verdict is what is thought of a server. It changes its mind only after several
// answers in a row that contradict it.
type verdict struct {
	fall, rise int
	ill        bool
	against    int // answers in a row
}

// hear takes an answer and reports whether it changed the verdict.
func (v *verdict) hear(ok bool) (changed bool) {
	if ok != v.ill {
		v.against = 0
		return false
	}
	v.against++
	if v.ill && v.against < v.rise || !v.ill && v.against < v.fall {
		return false
	}
	v.ill, v.against = !v.ill, 0
	return true
}

// Await asks until the first good answer; waiting, if not nil, hears why the
// first one was not. The error is that of ctx.
func Await(ctx context.Context, c Config, ask func(context.Context) error, waiting func(error)) error {
	c = c.withDefaults()
	for first := true; ; first = false {
		err := c.once(ctx, ask)
		if err == nil {
			return nil
		}
		if first && waiting != nil && ctx.Err() == nil {
			waiting(err)
		}
		if !pause(ctx, c.Every) {
			return context.Cause(ctx)
		}
	}
}

// Watch asks until ctx ends, and calls change whenever a server that was well
// falls ill, for the reason given, or with nil when it is well again. It waits
// for change to return.
func Watch(ctx context.Context, c Config, ask func(context.Context) error, change func(ill error)) {
	c = c.withDefaults()
	v := verdict{fall: c.Fall, rise: c.Rise}
	for pause(ctx, c.Every) {
		err := c.once(ctx, ask)
		if ctx.Err() != nil {
			return
		}
		if v.hear(err == nil) {
			change(err)
		}
	}
}

func (c Config) once(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return ask(ctx)
}

// pause reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
