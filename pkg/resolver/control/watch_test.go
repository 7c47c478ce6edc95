package control

import (
	"bufio"
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

var _ resolver.Follower = (*Client)(nil)

func TestWatch(t *testing.T) {
	id, path := newIdentity(t), socket(t)
	serve(t, path, newServer(id))
	c := newClient(t, path)
	next, stop := iter.Pull2(c.Watch(ctx, sal.MustParseName("svc:w/*")))
	defer stop()
	if u, err, _ := next(); err != nil || !u.Snapshot || u.More || len(u.Changes) != 0 {
		t.Fatalf("the first is %+v, %v", u, err)
	}
	var told []resolver.Change // several changes may come as one update
	expect := func(service string, gone bool) (c resolver.Change) {
		t.Helper()
		if len(told) == 0 {
			u, err, _ := next()
			if err != nil || u.Snapshot || u.More || len(u.Changes) == 0 {
				t.Fatalf("got %+v, %v", u, err)
			}
			told = u.Changes
		}
		c, told = told[0], told[1:]
		if c.Service.String() != service || c.Gone != gone || c.Node != id.Node() {
			t.Fatalf("got %+v, want %s", c, service)
		}
		return c
	}
	reg := registrationOf(id)
	var leases []resolver.Lease
	for _, name := range []string{"svc:other", "svc:w/a", "svc:*"} { // the last one covers what is watched
		reg.Service = sal.MustParseName(name)
		l, err := c.Register(ctx, reg)
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, l)
	}
	expect("svc:w/a", false)
	expect("svc:*", false)
	if err := leases[1].(resolver.Updater).Update(ctx, func(r *resolver.Registration) { r.Load = 0.5 }); err != nil {
		t.Fatal(err)
	}
	if c := expect("svc:w/a", false); c.Load != 0.5 || len(c.Addrs) != 2 {
		t.Errorf("got %+v", c)
	}
	for _, l := range leases {
		l.Close(ctx)
	}
	expect("svc:w/a", true)
}

// TestWatchEnds: a watcher does not hold up the end of its server, and is told.
func TestWatchEnds(t *testing.T) {
	s, path := newServer(newIdentity(t)), socket(t)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	srv, done := s.HTTP(), make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	c := newClient(t, path)
	updates := 0
	for u, err := range c.Watch(ctx, sal.Name{}) {
		if err == nil && u.Snapshot {
			updates++
			soon, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			if err := srv.Shutdown(soon); err != nil {
				t.Fatal(err)
			}
		} else if err == nil || updates != 1 {
			t.Errorf("after the end: %v, %v", u, err)
		}
	}
	<-done
	for range c.Watch(ctx, sal.Name{}) {
		updates++ // an error
	}
	if updates != 2 {
		t.Errorf("without a daemon %d come", updates-1)
	}
}

// TestFollow: one who follows outlives its daemon.
func TestFollow(t *testing.T) {
	id, path := newIdentity(t), socket(t)
	stop := serve(t, path, newServer(id))
	c := newClient(t, path)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	snapshots := 0
	for u := range c.Follow(ctx) {
		if !u.Snapshot {
			t.Errorf("nothing changes, but %+v", u)
		}
		if snapshots++; snapshots == 2 {
			cancel()
			continue
		}
		stop()
		serve(t, path, newServer(id))
	}
	if snapshots != 2 {
		t.Errorf("%d snapshots", snapshots)
	}
}

func TestWatchRefusals(t *testing.T) {
	id := newIdentity(t)
	s := newServer(id)
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		ended, end := context.WithCancel(ctx)
		end()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil).WithContext(ended))
		line, _ := bufio.NewReader(w.Body).ReadString('\n')
		return w.Code, line
	}
	if code, text := get("/v1/watch?name=a..b"); code != http.StatusBadRequest || !strings.Contains(text, "name=svc:web") {
		t.Errorf("a bad name: %d %s", code, text)
	}
	s.watchers.Store(maxWatchers)
	if code, text := get("/v1/watch"); code != http.StatusServiceUnavailable || !strings.Contains(text, "end some") {
		t.Errorf("too many: %d %s", code, text)
	}
	s.watchers.Store(0)
	if code, _ := get("/v1/watch"); code != http.StatusOK || s.watchers.Load() != 0 {
		t.Errorf("%d, and %d watchers are left", code, s.watchers.Load())
	}
	s.Directory = struct{ Directory }{s.Directory}
	path := socket(t)
	serve(t, path, s)
	for _, err := range newClient(t, path).Watch(ctx, web) {
		if refused := new(Error); !errors.As(err, &refused) || refused.Status != http.StatusNotImplemented {
			t.Errorf("a directory that cannot: %v", err)
		}
	}
}
