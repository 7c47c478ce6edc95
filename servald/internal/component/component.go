// Package component runs what a configuration asks for: it starts what is new, ends
// what is gone, and leaves alone what is as it was, so that a configuration can be
// read again while everything runs. What fails is told and tried again.
package component

import (
	"context"
	"time"
)

// Spec is a component as a configuration wants it.
type Spec struct {
	// Kind and Name tell it from others, and are shown: "forward" and
	// "localhost:8080". Of two with the same only the first is run.
	Kind, Name string

	// Config is what Start depends on. A component whose Config is the same, as
	// reflect.DeepEqual compares, is left alone.
	Config any

	// Start opens what the component needs and returns once it is ready. It must
	// return soon. When ctx is done, everything that it started ends at once.
	Start func(ctx context.Context) (Running, error)
}

// Running is a component that is ready. Done and Close are required.
type Running struct {
	// Close stops taking new work and returns when what others may want next,
	// such as an address to listen on, is free. Work under way goes on until the
	// context of Start is done.
	Close func()

	// Done is closed when nothing of the component runs any more: some time after
	// Close, or because it has failed.
	Done <-chan struct{}

	// Err says why it ended; nil says nothing. It is asked after Done.
	Err func() error

	// Info is shown with its status: how many connections it has, for example. It
	// must be quick, and may be called concurrently.
	Info func() string

	// Update takes another Config while the component runs, and reports whether
	// it could; if not, or if it is nil, the component is closed and started anew.
	Update func(config any) bool
}

// State is what a component does.
type State string

const (
	Starting State = "starting"
	Ready    State = "ready"
	Failed   State = "failed" // and is tried again
	Ending   State = "ending" // takes no new work, and lets what is open go on
)

// Status is what there is to know of a component.
type Status struct {
	Kind  string    `json:"kind"`
	Name  string    `json:"name"`
	State State     `json:"state"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"` // the last failure, if it is Failed
	Info  string    `json:"info,omitempty"`
}

// Error is why a component does not run.
type Error struct {
	Kind, Name string
	Err        error
}

func (e *Error) Error() string { return e.Kind + " " + e.Name + " does not run: " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Go is a Running that is one call of serve, whose context is done when it is to take
// no new work. free closes what serve listens on; nil if there is no such thing.
func Go(free func() error, serve func(ctx context.Context) error) Running {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		defer cancel()
		err = serve(ctx)
	}()
	return Running{
		Close: func() {
			cancel()
			if free != nil {
				free()
			}
		},
		Done: done,
		Err:  func() error { return err },
	}
}
