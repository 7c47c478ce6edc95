package nodectl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/hook"
	"github.com/serval-net/serval/pkg/sal"
)

// Ruled is what a server does about the rules of a node. Its methods are called
// concurrently; errors are shown to the person who asked.
type Ruled interface {
	// Rules returns the rules that were added and have not ended.
	Rules() []Rule

	// AddRule adds a rule that Check accepts and returns its ID.
	AddRule(r Rule) (id uint64, err error)

	// RemoveRules removes rules and returns how many. Nothing selected is no
	// error.
	RemoveRules(which RuleSelection) (removed int, err error)
}

// Actions of rules.
const (
	Forward = "FORWARD" // to Next
	Delay   = "DELAY"   // until Hook has found or started an instance
	Drop    = "DROP"    // refuse
	Demux   = "DEMUX"   // to a listener here; for routes only
)

// Rule says what becomes of dials and first packets for a service.
type Rule struct {
	ID       uint64           `json:"id,omitempty"`
	Service  string           `json:"service"`        // may be a wildcard
	Keys     []sal.KeyPrefix  `json:"keys,omitempty"` // parts of the key space; none means all
	Action   string           `json:"action"`         // FORWARD, DELAY or DROP
	Priority int              `json:"priority"`
	Weight   int              `json:"weight"`         // 0 means 1
	Next     []netip.AddrPort `json:"next,omitempty"` // of FORWARD
	Hook     *hook.Hook       `json:"hook,omitempty"` // of DELAY
	Timeout  Duration         `json:"timeout_s,omitempty"`
	TTL      Duration         `json:"ttl_s,omitempty"` // that is left; 0 means that it does not end
	Packets  uint64           `json:"packets"`
	Bytes    uint64           `json:"bytes"`
}

// Check refuses a rule that is malformed. What it means, the node checks.
func (r Rule) Check() error {
	if _, err := sal.ParseName(r.Service); err != nil {
		return err
	}
	switch {
	case r.Action != Forward && r.Action != Delay && r.Action != Drop:
		return fmt.Errorf("%.80q is no action of a rule: choose FORWARD, DELAY or DROP", r.Action)
	case r.Action == Delay && r.Hook == nil:
		return errors.New("a DELAY rule has no hook: give a command or a URL")
	case r.TTL < 0 || r.Timeout < 0:
		return errors.New("a time is negative")
	}
	if r.Hook != nil {
		return r.Hook.Check()
	}
	return nil
}

// RuleSelection says which rules are meant: one of both is set.
type RuleSelection struct {
	ID      uint64 `json:"id,omitempty"`
	Service string `json:"service,omitempty"` // all rules for exactly this name
}

// Check refuses a selection that is malformed.
func (s RuleSelection) Check() error {
	if (s.ID != 0) == (s.Service != "") {
		return errors.New("name either the ID of a rule or a service")
	}
	if s.Service != "" {
		_, err := sal.ParseName(s.Service)
		return err
	}
	return nil
}

// Expires returns when a rule ends that has a TTL, from now on.
func (r Rule) Expires(now time.Time) time.Time {
	if r.TTL == 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(r.TTL))
}

func (r Rule) check() error          { return r.Check() }
func (s RuleSelection) check() error { return s.Check() }

type (
	rulesAnswer struct {
		Rules []Rule `json:"rules"`
	}
	ruleAnswer struct {
		ID uint64 `json:"id"`
	}
)

func (s *server) handleRules(mux *http.ServeMux, ctx context.Context) {
	mux.HandleFunc("GET /v1/rules", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, rulesAnswer{s.node.Rules()})
	})
	post(mux, ctx, "/v1/rules", func(_ context.Context, r Rule) (any, error) {
		id, err := s.node.AddRule(r)
		return ruleAnswer{id}, err
	})
	post(mux, ctx, "/v1/rules/remove", func(_ context.Context, which RuleSelection) (any, error) {
		n, err := s.node.RemoveRules(which)
		return countAnswer{n}, err
	})
}

// Rules returns the node's rules.
func (c *Client) Rules(ctx context.Context) ([]Rule, error) {
	var a rulesAnswer
	err := c.do(ctx, "GET", "/v1/rules", nil, &a)
	return a.Rules, err
}

// AddRule adds a rule and returns its ID.
func (c *Client) AddRule(ctx context.Context, r Rule) (id uint64, err error) {
	var a ruleAnswer
	err = c.do(ctx, "POST", "/v1/rules", r, &a)
	return a.ID, err
}

// RemoveRules removes rules and returns how many.
func (c *Client) RemoveRules(ctx context.Context, which RuleSelection) (removed int, err error) {
	var a countAnswer
	err = c.do(ctx, "POST", "/v1/rules/remove", which, &a)
	return a.Count, err
}
