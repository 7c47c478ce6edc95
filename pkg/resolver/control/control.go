// Package control lets applications use the daemon of their host: to find
// services, to make their own known, and to become members of its cluster. It
// is JSON over HTTP over a Unix socket, so that curl is a client too:
//
//	curl --unix-socket $SOCKET http://serval/v1/services
//
//	GET    /v1/status            what the daemon says of itself
//	GET    /v1/services          all instances of all services; no nodes
//	GET    /v1/resolve?name=N    the instances of one, best first; or a node
//	GET    /v1/watch[?name=N]    all instances, or those of one service or
//	                             subtree, and what becomes of them: a line for
//	                             each update, for as long as one reads
//	POST   /v1/register          spread a record that the application signed
//	DELETE /v1/register/ID       withdraw it
//	GET    /v1/alive             a line, and then nothing until the daemon ends
//	POST   /v1/feedback          say whether an instance answered
//	POST   /v1/certificate       ask for a membership certificate
//	POST   /v1/reload            read the daemon's configuration again
//
// An error is an object with a text "error" and, where a program may care, a
// "code". The daemon carries no data: what it spreads is the application's own
// record, with its addresses and signed with its key.
package control

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// maxBody is the most bytes of a request.
const maxBody = 64 << 10

// Instance is a resolver.Instance in JSON.
type Instance struct {
	Service  sal.Name         `json:"service"`
	Node     string           `json:"node,omitempty"`
	Addrs    []netip.AddrPort `json:"addrs"`
	Weight   int              `json:"weight,omitempty"`
	Priority int              `json:"priority,omitempty"`
	Load     float64          `json:"load,omitempty"`
	Balance  resolver.Balance `json:"balance,omitzero"`
	Keys     []sal.KeyPrefix  `json:"keys,omitempty"`
	Rule     bool             `json:"rule,omitempty"`
	Suspect  bool             `json:"suspect,omitempty"`
	Version  uint64           `json:"version,omitempty"`
	Expires  time.Time        `json:"expires,omitzero"`
}

func encodeInstances(list []resolver.Instance) []Instance {
	all := make([]Instance, len(list))
	for i, in := range list {
		all[i] = encodeInstance(in)
	}
	return all
}

func encodeInstance(in resolver.Instance) Instance {
	out := Instance{Service: in.Service, Addrs: in.Addrs, Weight: in.Weight, Priority: in.Priority,
		Load: in.Load, Balance: in.Balance, Keys: in.Keys, Rule: in.Rule, Suspect: in.Suspect, Version: in.Version, Expires: in.Expires}
	if in.Node != (identity.NodeID{}) {
		out.Node = in.Node.String()
	}
	return out
}

func (in Instance) decode() (out resolver.Instance, err error) {
	out = resolver.Instance{Service: in.Service, Addrs: in.Addrs, Weight: in.Weight, Priority: in.Priority,
		Load: in.Load, Balance: in.Balance, Keys: in.Keys, Rule: in.Rule, Suspect: in.Suspect, Version: in.Version, Expires: in.Expires}
	if in.Node != "" {
		out.Node, err = identity.ParseNodeID(in.Node)
	}
	return out, err
}

// services is the answer to resolve and services.
type services struct {
	Instances []Instance `json:"instances"`
}

func (s services) decode() ([]resolver.Instance, error) {
	var all []resolver.Instance
	for _, in := range s.Instances {
		out, err := in.decode()
		if err != nil {
			return nil, fmt.Errorf("control: the daemon's answer is not valid: %w", err)
		}
		all = append(all, out)
	}
	return all, nil
}

// registration is the body of register. The withdrawal is signed beforehand, of
// the same moment, so that the daemon can withdraw on a request without a body.
type registration struct {
	Record     []byte `json:"record"`
	Withdrawal []byte `json:"withdrawal"`
}

// registered is the answer to it.
type registered struct {
	ID      string    `json:"id"`
	Daemon  string    `json:"daemon"` // see alive
	Service sal.Name  `json:"service"`
	Node    string    `json:"node"`
	Expires time.Time `json:"expires"` // unless renewed
}

// feedback is the body of feedback.
type feedback struct {
	Instance
	OK bool `json:"ok"`
}

// certificate is the body of certificate, and the answer to it.
type certificate struct {
	Request     []byte `json:"request,omitempty"`
	Certificate []byte `json:"certificate,omitempty"`
}

// failure is the answer to a request that cannot be met.
type failure struct {
	Error string `json:"error"`
	Code  string `json:"code,omitempty"`

	// Delayed says of codeNoService that a hook, which was not to run, may change it.
	Delayed bool `json:"delayed,omitempty"`
}

// Codes of failures.
const (
	codeNoService = "no-service"
	codeRefused   = "refused"
)
