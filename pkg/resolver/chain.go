package resolver

import (
	"context"
	"errors"

	"github.com/serval-net/serval/pkg/sal"
)

// Chain asks resolvers in order and returns what the first one finds that finds
// anything. Its Report goes to all that want it.
type Chain []Resolver

// Resolve implements Resolver. If no resolver finds anything, the error is
// ErrNoService if all said so, else what the failing ones said.
func (c Chain) Resolve(ctx context.Context, service sal.Name) ([]Instance, error) {
	var failed []error
	var none error = &NoServiceError{service}
	for _, r := range c {
		found, err := r.Resolve(ctx, service)
		switch {
		case err == nil && len(found) > 0:
			return found, nil
		case err != nil && !errors.Is(err, ErrNoService):
			failed = append(failed, err)
		case err != nil:
			why, delayed := new(ReasonError), new(DelayedError)
			if errors.As(err, &why) || errors.As(err, &delayed) {
				none = err
			}
		}
	}
	if len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	return nil, none
}

// Report implements Feedback.
func (c Chain) Report(in Instance, ok bool) {
	for _, r := range c {
		if f, wants := r.(Feedback); wants {
			f.Report(in, ok)
		}
	}
}
