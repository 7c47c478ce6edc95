package nodectl

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Explaining is what a server tells of a node's dials. It is called
// concurrently.
type Explaining interface {
	// Explain says what a dial would do now, and does nothing of it.
	Explain(ctx context.Context, q Question) (Explanation, error)
}

// Question asks what a dial would do.
type Question struct {
	Service string `json:"service"`
	Key     string `json:"key,omitempty"`     // as DialKey has it
	Balance string `json:"balance,omitempty"` // as resolver.ParseBalance reads it
}

// Check refuses a question that is malformed.
func (q Question) Check() error {
	if _, err := sal.ParseName(q.Service); err != nil {
		return err
	}
	if len(q.Key) > maxKey {
		return fmt.Errorf("the key has %d bytes; at most %d are taken", len(q.Key), maxKey)
	}
	_, err := resolver.ParseBalance(q.Balance)
	return err
}

const maxKey = 4096

func (q Question) check() error { return q.Check() }

// Outcomes of an explanation.
const (
	WouldDial    = "dials"          // the first of the candidates
	WouldRun     = "runs a hook"    // and dials what that finds or starts
	NoService    = "no service"     // it fails
	Refused      = "refused"        // it fails
	Unauthorized = "not authorised" // it fails
)

// Explanation says step by step what a dial would do.
type Explanation struct {
	Service    string      `json:"service"`
	ServiceID  string      `json:"service_id"` // in hexadecimal, with the key
	Node       string      `json:"node"`       // that would dial
	Steps      []Step      `json:"steps"`      // in their order
	Candidates []Candidate `json:"candidates"` // best first, then those excluded
	Refusals   []Refusal   `json:"refusals"`   // of this node's dials, the latest first
	Outcome    string      `json:"outcome"`
}

// Steps of a dial.
const (
	StepName       = "name"
	StepPermission = "permission"
	StepRule       = "rule"
	StepHook       = "hook"
	StepResolver   = "resolver"
	StepPolicy     = "policy"
	StepOutcome    = "outcome"
)

// Step is one thing that a dial finds out or does.
type Step struct {
	Step string `json:"step"`
	Text string `json:"text"`
}

// Candidate is an instance, or a service router, that a dial could ask.
type Candidate struct {
	Service  string           `json:"service"` // that it is known for: may be a wildcard
	Node     string           `json:"node,omitempty"`
	Addrs    []netip.AddrPort `json:"addrs"`
	Rule     bool             `json:"rule"` // a rule names it, else it is registered
	Weight   int              `json:"weight"`
	Priority int              `json:"priority"`
	Load     float64          `json:"load"`
	RTT      Duration         `json:"rtt_s,omitempty"` // if measured
	Standing string           `json:"standing"`        // see resolver.Standing
	Until    time.Time        `json:"until,omitzero"`  // of the standing
	Score    float64          `json:"score"`           // least first among those of one priority
	Reason   string           `json:"reason"`          // for its place
	Excluded bool             `json:"excluded"`        // it would not be asked at all
}

// Refusal is a dial's answer that said no.
type Refusal struct {
	Time    time.Time      `json:"time"`
	Service string         `json:"service"`
	Addr    netip.AddrPort `json:"addr"`
	Why     string         `json:"why"`
}

func (s *server) handleWhy(mux *http.ServeMux, ctx context.Context) {
	post(mux, ctx, "/v1/why", func(ctx context.Context, q Question) (any, error) { return s.node.Explain(ctx, q) })
}

// Explain asks what a dial would do.
func (c *Client) Explain(ctx context.Context, q Question) (e Explanation, err error) {
	err = c.do(ctx, "POST", "/v1/why", q, &e)
	return e, err
}
