package serval

import (
	"context"
	"errors"
	"net"
	"reflect"
	"testing"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

func keyPrefixes(t *testing.T, list ...string) (all []sal.KeyPrefix) {
	for _, s := range list {
		k, err := sal.ParseKeyPrefix(s)
		must(t, err)
		all = append(all, k)
	}
	return all
}

// only returns the one instance that the lab's resolver knows of a service.
func (l *lab) only(service string) resolver.Instance {
	l.Helper()
	found, err := l.Resolve(context.Background(), sal.MustParseName(service))
	if err != nil || len(found) != 1 {
		l.Fatalf("%v is known as %v, %v", service, found, err)
	}
	return found[0]
}

// TestListenConfigReachesTheRegistration: what a ListenConfig says, and what
// Update makes of it, is what diallers find.
func TestListenConfigReachesTheRegistration(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.flat = true
	server := l.node(1)
	keys := keyPrefixes(t, "0/2", "c/2")
	lc := ListenConfig{Node: server, Weight: 7, Priority: 3, Balance: resolver.BalanceNearest, Keys: keys}
	ln, err := lc.Listen(t.Context(), "svc:cache")
	must(t, err)
	defer ln.Close()
	is := func(weight, priority int, balance resolver.Balance, keys []sal.KeyPrefix) {
		t.Helper()
		in := l.only("svc:cache")
		if in.Weight != weight || in.Priority != priority || in.Balance != balance || !reflect.DeepEqual(in.Keys, keys) {
			t.Errorf("known as %+v", in)
		}
		if in.Node != server.ID() || len(in.Addrs) != 1 || in.Addrs[0] != server.at() {
			t.Errorf("known at %+v", in)
		}
	}
	is(7, 3, resolver.BalanceNearest, keys)
	must(t, ln.Update(t.Context(), func(lc *ListenConfig) { lc.Weight, lc.Keys = 9, nil }))
	is(9, 3, resolver.BalanceNearest, nil)
	if err := ln.Update(t.Context(), func(lc *ListenConfig) { lc.Weight = 70000 }); err == nil {
		t.Error("the weight 70000 was taken")
	}
	is(9, 3, resolver.BalanceNearest, nil)
	if got := ln.Config(); got.Weight != 9 || got.Node != server {
		t.Errorf("the configuration is %+v", got)
	}
	if ls := server.Listeners(); len(ls) != 1 || ls[0] != ln {
		t.Errorf("the node's listeners are %v", ls)
	}
	must(t, ln.Close())
	if err := ln.Update(t.Context(), func(*ListenConfig) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener's update: %v", err)
	}
}

func TestListenConfigMistakes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server := l.node(1)
	for _, c := range []struct {
		service string
		lc      ListenConfig
		word    string
	}{
		{"svc:a", ListenConfig{Weight: -1}, "ListenConfig.Weight is -1; choose"},
		{"svc:a", ListenConfig{Weight: 65536}, "choose 1 to 65535"},
		{"svc:a", ListenConfig{Priority: 1 << 15}, "ListenConfig.Priority is 32768; choose"},
		{"svc:a", ListenConfig{Backlog: -3}, "ListenConfig.Backlog is -3"},
		{"svc:a", ListenConfig{Balance: 99}, "unknown balance(99)"},
		{"svc:a", ListenConfig{Keys: []sal.KeyPrefix{{Key: 1, Bits: 2}}}, "bits set beyond its length"},
		{"svc:a", ListenConfig{Keys: make([]sal.KeyPrefix, resolver.MaxKeys+1)}, "give at most 32"},
		{"svc:a/*", ListenConfig{Keys: make([]sal.KeyPrefix, 1)}, "leave ListenConfig.Keys empty"},
	} {
		c.lc.Node = server
		_, err := c.lc.Listen(t.Context(), c.service)
		var op *OpError
		if !errors.As(err, &op) {
			t.Errorf("%+v: %v", c.lc, err)
			continue
		}
		sentence(t, err, op.Err, c.word)
	}
	if n := server.Stats().Listeners; n != 0 {
		t.Errorf("%d listeners are left of failed ones", n)
	}
}

// TestListenersKeys: an instance answers for the keys it owns and for dials that
// have none, and no others, also after a change.
func TestListenersKeys(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server, client := l.node(1), l.node(2)
	lc := ListenConfig{Node: server, Keys: keyPrefixes(t, "8/1")}
	ln, err := lc.Listen(t.Context(), "svc:cache")
	must(t, err)
	defer ln.Close()
	go acceptEcho(ln)
	dial := func(w choice) error {
		c, err := client.dial(t.Context(), "svc:cache", want{choice: w})
		if err == nil {
			err = errors.Join(ask(c, "x"), c.Close())
		}
		return err
	}
	const low, high = 1 << 62, 3 << 62
	must(t, dial(choice{}))
	must(t, dial(choice{keyed: true, key: high}))
	if err := dial(choice{keyed: true, key: low}); !errors.Is(err, ErrNoService) {
		t.Errorf("a key of nobody: %v", err)
	}
	must(t, ln.Update(t.Context(), func(lc *ListenConfig) { lc.Keys = keyPrefixes(t, "0/1") }))
	must(t, dial(choice{keyed: true, key: low}))
	if err := dial(choice{keyed: true, key: high}); !errors.Is(err, ErrNoService) {
		t.Errorf("a key it no longer owns: %v", err)
	}
	must(t, ln.Close())
	if n := server.services.Len(); n != 0 {
		t.Errorf("%d rules are left", n)
	}
}
