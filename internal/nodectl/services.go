package nodectl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Served is what a server shows and does about the services of a node. Its
// methods are called concurrently, and with a context that ends when the client
// goes. Errors are shown to the person who asked.
type Served interface {
	// Routes returns a snapshot of at most limit rules of the service table, of
	// all origins, and how many there are. With a service only those are meant
	// that a first packet for it would meet.
	Routes(service string, limit int) (list []Route, total int)

	// Listeners returns a snapshot.
	Listeners() []Listener

	// SetListeners changes listeners, and returns how many.
	SetListeners(ctx context.Context, s Setting) (changed int, err error)

	// DrainService withdraws listeners, refuses new connections and returns when
	// none is left, and how many it ended for that; progress hears how many
	// there are, at first and whenever that changes, never concurrently and with
	// no lock held. If ctx ends before, they stay withdrawn.
	DrainService(ctx context.Context, d ServiceDrain, progress func(left int)) (Moved, error)

	// UndrainService registers them again and returns how many there are.
	UndrainService(ctx context.Context, service string) (listeners int, err error)
}

// Origins of routes.
const (
	ByHand     = "rule"     // AddRule, or a hook
	ByListener = "listener" // of this process
	ByResolver = "learned"  // a registration elsewhere
)

// Route is a rule of a node's service table.
type Route struct {
	Prefix  string `json:"prefix"`            // as sal.Prefix has it
	Service string `json:"service,omitempty"` // if its name is known
	Origin  string `json:"origin"`
	Rule           // without Service; Keys are in Prefix
}

// Listener is one instance of a service in a process.
type Listener struct {
	Service  string          `json:"service"`
	Datagram bool            `json:"datagram,omitempty"`
	Weight   int             `json:"weight"`
	Priority int             `json:"priority"`
	Balance  string          `json:"balance,omitempty"` // as resolver.ParseBalance reads it
	Keys     []sal.KeyPrefix `json:"keys,omitempty"`

	Load        float64 `json:"load"`        // 1 is all that it can take
	Connections int     `json:"connections"` // that are open
	Waiting     int     `json:"waiting"`     // of them for Accept
	Packets     uint64  `json:"packets"`     // first packets
	Withdrawn   bool    `json:"withdrawn"`   // it is drained or suspended
}

// Setting changes listeners: what is not nil.
type Setting struct {
	Service  string           `json:"service"`
	Weight   *int             `json:"weight,omitempty"`
	Priority *int             `json:"priority,omitempty"`
	Balance  *string          `json:"balance,omitempty"`
	Keys     *[]sal.KeyPrefix `json:"keys,omitempty"`
}

// Check refuses a setting that is malformed or sets nothing.
func (s Setting) Check() error {
	if _, err := sal.ParseName(s.Service); err != nil {
		return err
	}
	switch {
	case s.Weight == nil && s.Priority == nil && s.Balance == nil && s.Keys == nil:
		return errors.New("nothing is set: give a weight, a priority, a balance or keys")
	case s.Weight != nil && (*s.Weight < 1 || *s.Weight > 65535):
		return fmt.Errorf("the weight is %d; choose 1 to 65535", *s.Weight)
	case s.Priority != nil && (*s.Priority < -32768 || *s.Priority > 32767):
		return fmt.Errorf("the priority is %d; choose -32768 to 32767", *s.Priority)
	}
	if s.Balance != nil {
		_, err := resolver.ParseBalance(*s.Balance)
		return err
	}
	return nil
}

func (s Setting) check() error { return s.Check() }

// maxRoutes is the most rules of one answer.
const maxRoutes = 100_000

type (
	routesAnswer struct {
		Routes []Route `json:"routes"`
		Total  int     `json:"total"`
	}
	listenersAnswer struct {
		Listeners []Listener `json:"listeners"`
	}
	// ServiceDrain says which listeners are to be drained, and how.
	ServiceDrain struct {
		Service string `json:"service"` // "" means all
		// Move ends connections, so that their clients dial other instances: idle
		// ones at once, others after Grace, 0 to MaxGrace.
		Move  bool     `json:"move,omitempty"`
		Grace Duration `json:"grace,omitempty"`
	}

	// Moved counts the connections that a drain with Move ended.
	Moved struct {
		Idle int `json:"idle,omitempty"` // with nothing under way
		Busy int `json:"busy,omitempty"` // when their grace was over
	}

	serviceRequest struct {
		Service string `json:"service"` // "" means all
	}
)

// MaxGrace is the longest grace of a ServiceDrain.
const MaxGrace = Duration(24 * time.Hour)

// Check refuses a drain that is malformed.
func (d ServiceDrain) Check() error {
	switch {
	case d.Grace < 0 || d.Grace > MaxGrace:
		return fmt.Errorf("the grace is %v; choose 0 to %v", time.Duration(d.Grace), time.Duration(MaxGrace))
	case d.Grace > 0 && !d.Move:
		return errors.New("a grace is for connections that are moved; ask for that too, or leave it away")
	}
	return serviceRequest{d.Service}.check()
}

func (d ServiceDrain) check() error { return d.Check() }

func (r serviceRequest) check() error {
	if r.Service == "" {
		return nil
	}
	_, err := sal.ParseName(r.Service)
	return err
}

func (s *server) handleServices(mux *http.ServeMux, ctx context.Context) {
	mux.HandleFunc("GET /v1/routes", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		limit, err := strconv.Atoi(q.Get("limit"))
		if err != nil || limit < 1 || limit > maxRoutes {
			limit = maxRoutes
		}
		service := q.Get("service")
		if err := (serviceRequest{service}).check(); err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
		list, total := s.node.Routes(service, limit)
		reply(w, http.StatusOK, routesAnswer{list, total})
	})
	mux.HandleFunc("GET /v1/listeners", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, listenersAnswer{s.node.Listeners()})
	})
	post(mux, ctx, "/v1/listeners", func(ctx context.Context, r Setting) (any, error) {
		n, err := s.node.SetListeners(ctx, r)
		return countAnswer{n}, err
	})
	mux.HandleFunc("POST /v1/listeners/drain", s.stream(ctx, func(ctx context.Context, cancel context.CancelFunc, r *http.Request, out lines) {
		drained(ctx, cancel, r, out, s.node.DrainService)
	}))
	post(mux, ctx, "/v1/listeners/undrain", func(ctx context.Context, r serviceRequest) (any, error) {
		n, err := s.node.UndrainService(ctx, r.Service)
		return countAnswer{n}, err
	})
}

// Routes returns at most limit rules of the node's service table, and how many
// there are; with a service, those that a first packet for it would meet.
func (c *Client) Routes(ctx context.Context, service string, limit int) (list []Route, total int, err error) {
	var a routesAnswer
	q := url.Values{"service": {service}, "limit": {strconv.Itoa(limit)}}
	err = c.do(ctx, "GET", "/v1/routes?"+q.Encode(), nil, &a)
	return a.Routes, a.Total, err
}

// Listeners returns the instances of services in the process.
func (c *Client) Listeners(ctx context.Context) ([]Listener, error) {
	var a listenersAnswer
	err := c.do(ctx, "GET", "/v1/listeners", nil, &a)
	return a.Listeners, err
}

// SetListeners changes listeners, and returns how many.
func (c *Client) SetListeners(ctx context.Context, s Setting) (changed int, err error) {
	var a countAnswer
	err = c.do(ctx, "POST", "/v1/listeners", s, &a)
	return a.Count, err
}

// DrainService withdraws listeners and returns when their last connection has
// ended, and how many were ended for that; progress hears how many there are.
func (c *Client) DrainService(ctx context.Context, d ServiceDrain, progress func(left int)) (Moved, error) {
	return c.drained(ctx, "/v1/listeners/drain", d, progress)
}

// UndrainService ends what DrainService began, and returns for how many.
func (c *Client) UndrainService(ctx context.Context, service string) (listeners int, err error) {
	var a countAnswer
	err = c.do(ctx, "POST", "/v1/listeners/undrain", serviceRequest{service}, &a)
	return a.Count, err
}
