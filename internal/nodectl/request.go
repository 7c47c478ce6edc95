package nodectl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/serval-net/serval/pkg/sal"
)

// Selection says which connections and flows are meant: those that fit all that
// is set.
type Selection struct {
	Conn      string `json:"conn,omitempty"`      // ID
	Flow      *uint8 `json:"flow,omitempty"`      // index in Conn
	Service   string `json:"service,omitempty"`   // in full, such as "svc:web", or a wildcard, "svc:shop/*"
	Interface string `json:"interface,omitempty"` // that the flow uses
}

// MatchConn reports whether the connection is selected, or may be, by its flows.
func (s Selection) MatchConn(id, service string) bool {
	if s.Conn != "" && s.Conn != id {
		return false
	}
	if s.Service == "" || s.Service == service {
		return true
	}
	want, err := sal.ParseName(s.Service)
	if err != nil {
		return false
	}
	got, err := sal.ParseName(service)
	return err == nil && want.Covers(got)
}

// MatchFlow reports whether a flow of a selected connection is selected.
func (s Selection) MatchFlow(index uint8, iface string) bool {
	return (s.Flow == nil || *s.Flow == index) && (s.Interface == "" || s.Interface == iface)
}

// Check refuses a selection that is malformed or selects everything.
func (s Selection) Check() error {
	if s == (Selection{}) {
		return errors.New("nothing is selected: name a conn, a service or an interface")
	}
	if s.Flow != nil && s.Conn == "" {
		return errors.New("a flow is selected without its conn")
	}
	if s.Conn != "" {
		if err := CheckID(s.Conn); err != nil {
			return err
		}
	}
	if s.Service != "" {
		if _, err := sal.ParseName(s.Service); err != nil {
			return err
		}
	}
	if s.Interface != "" {
		return CheckInterface(s.Interface)
	}
	return nil
}

// Target is where flows move: one of both is set.
type Target struct {
	Interface string     `json:"interface,omitempty"` // to an address of it
	Addr      netip.Addr `json:"addr,omitzero"`       // local
}

// ParseTarget reads an IP address or the name of an interface.
func ParseTarget(text string) (Target, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		t := Target{Addr: addr.Unmap()}
		return t, t.Check()
	}
	return Target{Interface: text}, CheckInterface(text)
}

// String is the inverse of ParseTarget.
func (t Target) String() string {
	if t.Addr.IsValid() {
		return t.Addr.String()
	}
	return t.Interface
}

// Check refuses a target that is malformed.
func (t Target) Check() error {
	switch {
	case t.Addr.IsValid() == (t.Interface != ""):
		return errors.New("the target must be either an interface or an address")
	case t.Interface != "":
		return CheckInterface(t.Interface)
	case t.Addr.IsUnspecified() || t.Addr.IsMulticast() || t.Addr.Is4In6():
		return fmt.Errorf("%.80q is no address of an interface", t.Addr)
	case t.Addr.Zone() != "":
		return CheckInterface(t.Addr.Zone())
	}
	return nil
}

// maxInterface is the most bytes of an interface's name; Linux has 15.
const maxInterface = 64

// CheckInterface refuses what cannot be an interface's name.
func CheckInterface(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxInterface || !utf8.ValidString(name) || strings.ContainsFunc(name, odd) || strings.ContainsRune(name, '/') {
		return fmt.Errorf("%.80q cannot be the name of an interface", name)
	}
	return nil
}

func odd(r rune) bool { return !unicode.IsPrint(r) }

// CheckID refuses what cannot be the ID of a connection, or the beginning of one.
func CheckID(id string) error {
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	if id == "" || len(id) > 32 || strings.ContainsFunc(id, bad) {
		return fmt.Errorf("%.80q cannot be the ID of a connection: servald flows prints them, such as 3f9a1c02", id)
	}
	return nil
}

// Policies are how a connection may use its flows. "pinned" is followed by a
// colon and the name of an interface.
var Policies = []string{"aggregate", "failover", "redundant", "pinned"}

// CheckPolicy refuses what is none of the policies.
func CheckPolicy(policy string) error {
	switch policy {
	case "aggregate", "failover", "redundant":
		return nil
	}
	if iface, ok := strings.CutPrefix(policy, "pinned:"); ok {
		return CheckInterface(iface)
	}
	return fmt.Errorf("%.80q is no policy: choose aggregate, failover, redundant or pinned:INTERFACE", policy)
}

// Bodies of requests, and answers to them.
type (
	migrateRequest struct {
		Selection Selection `json:"selection"`
		To        Target    `json:"to"`
	}
	policyRequest struct {
		Selection Selection `json:"selection"`
		Policy    string    `json:"policy"`
	}
	drainRequest struct {
		What string `json:"what"` // interface or address
	}
	countAnswer struct {
		Count int `json:"count"`
	}
	connsAnswer struct {
		Conns []Conn `json:"conns"`
	}
	pathsAnswer struct {
		Paths []Path `json:"paths"`
	}
	drainLine struct {
		Left  int    `json:"left"`
		Done  bool   `json:"done,omitempty"`
		Error string `json:"error,omitempty"`
		Moved        // with Done
	}
	failure struct {
		Error string `json:"error"`
	}
)

func (r migrateRequest) check() error { return errors.Join(r.Selection.Check(), r.To.Check()) }
func (r policyRequest) check() error  { return errors.Join(r.Selection.Check(), CheckPolicy(r.Policy)) }
func (r drainRequest) check() error   { _, err := ParseTarget(r.What); return err }

// decode reads a request. What it does not know it refuses: a criterion that is
// ignored would select more than was asked for.
func decode[T interface{ check() error }](body []byte) (req T, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err = d.Decode(&req); err != nil {
		return req, fmt.Errorf("the request is not the JSON it should be: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return req, errors.New("the request goes on after its JSON")
	}
	return req, req.check()
}
