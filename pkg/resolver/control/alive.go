package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// alive is the one line that a daemon says to a client that holds a lease, and then
// nothing more for as long as it runs: when the connection ends the client knows at
// once that what it has registered must be registered again.
type alive struct {
	Daemon string `json:"daemon"` // another for each start
}

// maxAttending is the most clients that may be connected so; others renew as often as
// their leases need it.
const maxAttending = 4096

// id names this run of the daemon.
func (s *Server) id() string {
	s.named.Do(func() { s.name = rand.Text() })
	return s.name
}

// alive answers until the client goes or ending ends.
func (s *Server) alive(ending context.Context) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer s.attending.Add(-1)
		if s.attending.Add(1) > maxAttending {
			answer(func(*http.Request) (any, error) {
				return nil, status(http.StatusServiceUnavailable, fmt.Errorf("%d programs wait for this daemon's end already", maxAttending))
			})(w, r)
			return
		}
		conn := http.NewResponseController(w)
		conn.SetReadDeadline(time.Time{})
		conn.SetWriteDeadline(time.Time{})
		w.Header().Set("Content-Type", "application/x-ndjson")
		if json.NewEncoder(w).Encode(alive{s.id()}) != nil || conn.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
		case <-ending.Done():
		}
	}
}

// How soon a client connects again to a daemon that has ended: at first, and after
// failing many times.
const (
	soonestAttend = 50 * time.Millisecond
	latestAttend  = 2 * time.Second
)

// attend stays connected to the daemon, and has leases registered again whenever it
// meets another than the one they are registered with.
func (c *Client) attend() {
	wait := soonestAttend
	for {
		err := c.attendOne(func() { wait = soonestAttend })
		if refused := new(Error); errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			return // one that does not know of this
		}
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, latestAttend)
	}
}

// attendOne returns when the daemon ends. met is called when it is there.
func (c *Client) attendOne(met func()) error {
	resp, err := c.open(c.ctx, "GET", "/v1/alive", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, maxBody)
	var said alive
	if err := json.NewDecoder(body).Decode(&said); err != nil {
		return err
	}
	met()
	c.mu.Lock()
	c.daemon = said.Daemon
	for l := range c.leases {
		l.met(said.Daemon)
	}
	c.mu.Unlock()
	_, err = io.Copy(io.Discard, body)
	return err
}

// keepLease makes attend care for a lease.
func (c *Client) keepLease(l *clientLease) {
	c.attending.Do(func() { c.done.Go(c.attend) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leases == nil {
		c.leases = make(map[*clientLease]struct{})
	}
	c.leases[l] = struct{}{}
	if c.daemon != "" {
		l.met(c.daemon)
	}
}

func (c *Client) dropLease(l *clientLease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.leases, l)
}

// met has the lease renewed at once if it is registered with another daemon.
func (l *clientLease) met(daemon string) {
	if with := l.daemon.Load(); with != nil && *with == daemon {
		return
	}
	select {
	case l.again <- struct{}{}:
	default:
	}
}
