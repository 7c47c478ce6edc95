// Package hook runs what an operator wants done when a service is dialled that
// nobody serves: a command or an HTTP callback that starts an instance, or says
// where one is.
package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a hook and of what it says.
const (
	// MaxText bounds the words of a command, and a URL, in bytes.
	MaxText = 4096
	// MaxAnswer bounds what is read of a hook's output, in bytes.
	MaxAnswer = 64 << 10
	// MaxForward bounds the addresses of one answer.
	MaxForward = 64
	// MaxTTL bounds how long an answer holds; DefaultTTL is how long it does if
	// the hook says nothing.
	MaxTTL     = 24 * time.Hour
	DefaultTTL = 30 * time.Second
)

// OffVariable is set to "off" for commands: what they dial themselves runs no
// hooks, or it would wait for the very command.
const OffVariable = "SERVAL_HOOKS"

// Hook is what to run: one of both is set.
type Hook struct {
	// Command is a program and its arguments. It finds the service in
	// SERVAL_SERVICE and its ID in hexadecimal in SERVAL_SERVICE_ID.
	Command []string `json:"command,omitempty"`

	// URL gets a POST with a JSON object that has "service" and "service_id".
	URL string `json:"url,omitempty"`
}

// Call is why a hook runs.
type Call struct {
	Service string // such as "svc:web"; a wildcard where only the ID is known
	ID      string // in hexadecimal
}

// Answer is what a hook said. Without addresses the instance makes itself known.
type Answer struct {
	Forward []netip.AddrPort // instances, one each
	TTL     time.Duration    // for which that holds
}

// Check refuses what cannot be run.
func (h Hook) Check() error {
	size := len(h.URL)
	for _, w := range h.Command {
		if strings.ContainsRune(w, 0) {
			return errors.New("a word of the hook's command has a zero byte in it")
		}
		size += len(w)
	}
	switch {
	case (len(h.Command) == 0) == (h.URL == ""):
		return errors.New("a hook is either a command or a URL")
	case size > MaxText:
		return fmt.Errorf("the hook has %d bytes; at most %d are taken", size, MaxText)
	case len(h.Command) > 0 && h.Command[0] == "":
		return errors.New("the hook's command has no program")
	case h.URL == "":
		return nil
	}
	u, err := url.Parse(h.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%.80q is not a URL of a hook; write one such as http://localhost:8080/start", h.URL)
	}
	return nil
}

// IsZero reports whether nothing is set.
func (h Hook) IsZero() bool { return len(h.Command) == 0 && h.URL == "" }

// String returns the command, its words parted by blanks, or the URL.
func (h Hook) String() string {
	if h.URL != "" {
		return h.URL
	}
	return strings.Join(h.Command, " ")
}

// Run runs the hook until it ends or ctx does.
func (h Hook) Run(ctx context.Context, c Call) (Answer, error) {
	if err := h.Check(); err != nil {
		return Answer{}, err
	}
	if h.URL != "" {
		return h.post(ctx, c)
	}
	return h.command(ctx, c)
}

// ParseAnswer reads what a command wrote: lines that say "forward ADDRESS:PORT"
// or "ttl DURATION". Others are the command's own business.
func ParseAnswer(out []byte) (a Answer, err error) {
	for line := range bytes.Lines(out) {
		words := strings.Fields(string(line))
		if len(words) != 2 {
			continue
		}
		switch words[0] {
		case "forward":
			addr, err := netip.ParseAddrPort(words[1])
			if err != nil {
				return Answer{}, fmt.Errorf("the hook says forward %.80q, which is not an address; write ip:port", words[1])
			}
			a.Forward = append(a.Forward, addr)
		case "ttl":
			if a.TTL, err = time.ParseDuration(words[1]); err != nil {
				return Answer{}, fmt.Errorf("the hook says ttl %.80q, which is not a time; write one such as 30s", words[1])
			}
		}
	}
	return a.checked()
}

// checked refuses an answer that cannot be used, and fills in its TTL.
func (a Answer) checked() (Answer, error) {
	if a.TTL == 0 {
		a.TTL = DefaultTTL
	}
	switch {
	case a.TTL < 0 || a.TTL > MaxTTL:
		return Answer{}, fmt.Errorf("the hook gives a ttl of %v; choose one up to %v", a.TTL, MaxTTL)
	case len(a.Forward) > MaxForward:
		return Answer{}, fmt.Errorf("the hook gives %d addresses; at most %d are taken", len(a.Forward), MaxForward)
	}
	for i, addr := range a.Forward {
		if !addr.IsValid() || addr.Port() == 0 || addr.Addr().IsUnspecified() || addr.Addr().IsMulticast() || addr.Addr().Zone() != "" {
			return Answer{}, fmt.Errorf("the hook gives the address %v, which nobody can be reached at", addr)
		}
		a.Forward[i] = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	}
	return a, nil
}

// maxComplaint is how much of what a hook complained is shown, in bytes.
const maxComplaint = 300

// complaint makes the last line of what a hook said fit to be shown.
func complaint(b []byte) string {
	b = bytes.TrimSpace(b)
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		b = b[i+1:]
	}
	b = b[:min(len(b), maxComplaint)]
	for len(b) > 0 && !utf8.Valid(b) {
		b = b[:len(b)-1]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(b))
}
