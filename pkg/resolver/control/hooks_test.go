package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// ruling is a Directory whose rules decide: it says so, and whether hooks were
// to run.
type ruling struct {
	Directory
	err  error
	wait time.Duration
}

func (r ruling) Resolve(ctx context.Context, service sal.Name) ([]resolver.Instance, error) {
	select {
	case <-time.After(r.wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.err != nil {
		return nil, r.err
	}
	return []resolver.Instance{{Service: service, Rule: true, Suspect: resolver.HooksOff(ctx)}}, nil
}

func TestRules(t *testing.T) {
	id := newIdentity(t)
	path := socket(t)
	r := &ruling{Directory: resolver.NewDirectory(id.Cluster())}
	serve(t, path, &Server{Directory: r, Cluster: id.Cluster()})
	c := newClient(t, path)

	in, err := c.Resolve(ctx, web)
	if err != nil || !in[0].Rule || in[0].Suspect {
		t.Errorf("with hooks: %+v, %v", in, err)
	}
	if in, err = c.Resolve(resolver.WithoutHooks(ctx), web); err != nil || !in[0].Suspect {
		t.Errorf("without hooks: %+v, %v", in, err)
	}
	c.HooksOff = true
	if in, err = c.Resolve(ctx, web); err != nil || !in[0].Suspect {
		t.Errorf("a client without hooks: %+v, %v", in, err)
	}

	for kind, text := range map[error]string{resolver.ErrRefused: "a rule drops it", resolver.ErrNoService: "the hook fails: no room"} {
		r.err = fmt.Errorf("asked: %w", &resolver.ReasonError{Kind: kind, Text: text})
		why := new(resolver.ReasonError)
		if _, err := c.Resolve(ctx, web); !errors.Is(err, kind) || !errors.As(err, &why) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v", kind, err)
		}
	}
	r.err = fmt.Errorf("asked: %w", &resolver.DelayedError{Service: web})
	delayed := new(resolver.DelayedError)
	if _, err := c.Resolve(ctx, web); !errors.Is(err, resolver.ErrNoService) || !errors.As(err, &delayed) || delayed.Service != web {
		t.Errorf("a hook would run: %v", err)
	}
	r.err = &resolver.NoServiceError{Service: web}
	why := new(resolver.ReasonError)
	if _, err := c.Resolve(ctx, web); !errors.Is(err, resolver.ErrNoService) || errors.As(err, &why) || errors.As(err, &delayed) {
		t.Errorf("nobody is known: %v", err)
	}
}

// A hook may take longer than other requests may, and no longer than the caller
// waits.
func TestResolveIsPatient(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	id := newIdentity(t)
	path := socket(t)
	r := &ruling{Directory: resolver.NewDirectory(id.Cluster()), wait: 11 * time.Second}
	serve(t, path, &Server{Directory: r, Cluster: id.Cluster()})
	c := newClient(t, path)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := c.Resolve(short, web); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller without patience: %v", err)
	}
	if in, err := c.Resolve(ctx, web); err != nil || len(in) != 1 {
		t.Errorf("a patient caller: %+v, %v", in, err)
	}
}
