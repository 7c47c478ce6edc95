package cli

import (
	"context"
	"fmt"

	"github.com/serval-net/serval/internal/nodectl"
)

func (f *fakeNode) Routes(service string, limit int) ([]nodectl.Route, int) {
	f.note("routes %s %d", service, limit)
	return f.routes[:min(limit, len(f.routes))], len(f.routes)
}

func (f *fakeNode) Listeners() []nodectl.Listener { return f.listeners }

func (f *fakeNode) SetListeners(_ context.Context, s nodectl.Setting) (int, error) {
	set := ""
	for name, v := range map[string]*int{"weight": s.Weight, "priority": s.Priority} {
		if v != nil {
			set += fmt.Sprintf(" %s=%d", name, *v)
		}
	}
	if s.Balance != nil {
		set += " balance=" + *s.Balance
	}
	if s.Keys != nil {
		set += fmt.Sprint(" keys=", *s.Keys)
	}
	return f.note("set %s%s", s.Service, set)
}

func (f *fakeNode) DrainService(ctx context.Context, service string, progress func(int)) error {
	return f.Drain(ctx, "service "+service, progress)
}

func (f *fakeNode) UndrainService(_ context.Context, service string) (int, error) {
	return f.note("undrain service %s", service)
}
