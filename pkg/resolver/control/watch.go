package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// update is a resolver.Update in JSON, a line of the answer to watch.
type update struct {
	Snapshot bool     `json:"snapshot,omitempty"`
	More     bool     `json:"more,omitempty"`
	Changes  []change `json:"changes"`
}

type change struct {
	Instance
	Gone bool `json:"gone,omitempty"`
}

const (
	// maxWatchers is how many may watch a daemon at a time.
	maxWatchers = 256

	// watchPatience is how long the daemon waits for one that does not read.
	watchPatience = 30 * time.Second

	// maxUpdate is far above the bytes of an update.
	maxUpdate = 8 << 20
)

// watch answers with updates until the client goes or ending ends: without that a
// server would wait for its watchers when it is shut down.
func (s *Server) watch(ending context.Context) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		source, keep, err := s.watched(r)
		if err != nil {
			answer(func(*http.Request) (any, error) { return nil, err })(w, r)
			return
		}
		defer s.watchers.Add(-1)
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ending, cancel)()
		conn, lines := http.NewResponseController(w), json.NewEncoder(w)
		conn.SetReadDeadline(time.Time{})
		w.Header().Set("Content-Type", "application/x-ndjson")
		open := false // in the middle of a snapshot
		for u := range source.Follow(ctx) {
			line := update{Snapshot: u.Snapshot, More: u.More, Changes: []change{}}
			for _, c := range u.Changes {
				if keep(c.Service) {
					line.Changes = append(line.Changes, change{encodeInstance(c.Instance), c.Gone})
				}
			}
			ends := open && !u.More
			open = u.More
			if len(line.Changes) == 0 && !u.Snapshot && !ends {
				continue // nothing that this one cares for
			}
			conn.SetWriteDeadline(time.Now().Add(watchPatience))
			if lines.Encode(line) != nil || conn.Flush() != nil {
				return
			}
		}
	}
}

// watched returns what a request wants to watch, of which it counts as a watcher.
func (s *Server) watched(r *http.Request) (source resolver.Follower, keep func(sal.Name) bool, err error) {
	source, ok := s.Directory.(resolver.Follower)
	if !ok {
		return nil, nil, status(http.StatusNotImplemented, errors.New("this daemon cannot tell what changes; ask for /v1/services now and then"))
	}
	keep = func(sal.Name) bool { return true }
	if asked := r.URL.Query().Get("name"); asked != "" {
		name, err := sal.ParseName(asked)
		if err != nil {
			return nil, nil, bad(fmt.Errorf("%w; watch ?name=svc:web, or everything without it", err))
		}
		keep = func(of sal.Name) bool { return of.Covers(name) || name.Covers(of) }
	}
	if s.watchers.Add(1) > maxWatchers {
		s.watchers.Add(-1)
		return nil, nil, status(http.StatusServiceUnavailable, fmt.Errorf("%d programs watch this daemon already; end some", maxWatchers))
	}
	return source, keep, nil
}

// Watch tells the instances of a service, or of all in the subtree of a wildcard,
// and what becomes of them, as resolver.Follower says; the zero name means all
// services. It tells of wildcards that cover the name too. When the daemon ends or
// does not answer, the last that comes is an error.
func (c *Client) Watch(ctx context.Context, name sal.Name) iter.Seq2[resolver.Update, error] {
	return func(yield func(resolver.Update, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(c.ctx, cancel)()
		err := c.watch(ctx, name, func(u resolver.Update) bool { return yield(u, nil) })
		if err != nil && ctx.Err() == nil {
			yield(resolver.Update{}, err)
		}
	}
}

// watch calls f for updates until f returns false, or something fails.
func (c *Client) watch(ctx context.Context, name sal.Name, f func(resolver.Update) bool) error {
	path := "/v1/watch"
	if !name.IsZero() {
		path += "?name=" + url.QueryEscape(name.String())
	}
	resp, err := c.open(ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	bounded := &io.LimitedReader{R: resp.Body, N: maxUpdate}
	for lines := json.NewDecoder(bounded); ; bounded.N = maxUpdate {
		var line update
		if err := lines.Decode(&line); err != nil {
			return fmt.Errorf("control: the daemon tells no more of what changes: %w", err)
		}
		u, err := line.decode()
		if err != nil {
			return fmt.Errorf("control: the daemon's answer is not valid: %w", err)
		}
		if !f(u) {
			return nil
		}
	}
}

func (line update) decode() (resolver.Update, error) {
	u := resolver.Update{Snapshot: line.Snapshot, More: line.More}
	for _, c := range line.Changes {
		in, err := c.Instance.decode()
		if err != nil {
			return u, err
		}
		u.Changes = append(u.Changes, resolver.Change{Instance: in, Gone: c.Gone})
	}
	return u, nil
}

// How soon Follow connects again: at first, and after failing many times.
const (
	soonestFollow = 100 * time.Millisecond
	latestFollow  = 5 * time.Second
)

// Follow implements resolver.Follower. While the daemon is away, it tells nothing
// and tries again; then another snapshot comes.
func (c *Client) Follow(ctx context.Context) iter.Seq[resolver.Update] {
	return func(yield func(resolver.Update) bool) {
		wait := soonestFollow
		for ctx.Err() == nil && c.ctx.Err() == nil {
			for u, err := range c.Watch(ctx, sal.Name{}) {
				if err != nil {
					break
				}
				wait = soonestFollow
				if !yield(u) {
					return
				}
			}
			select {
			case <-ctx.Done():
			case <-c.ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, latestFollow)
		}
	}
}
