package sal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// NameError says why text is no service name and what to write instead.
type NameError struct {
	Name   string // as given, shortened if it is very long
	Reason string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("service name %q %s", e.Name, e.Reason)
}

// maxName is far above the longest name there is, with suffix and port.
const maxName = 256

// ParseName parses a service name. These are the same service:
//
//	svc:shop/cart  shop/cart  cart.shop.svc.serval  cart.shop.svc.serval:80
//
// A port is accepted because programs such as net/http add one; it has no
// meaning. Names are case-insensitive. A level has up to 63 letters, digits,
// hyphens and underscores, and there are up to three; the last may be "*". The
// error is a *NameError.
func ParseName(s string) (Name, error) {
	bad := func(format string, args ...any) (Name, error) {
		return Name{}, &NameError{Name: clip(s), Reason: fmt.Sprintf(format, args...)}
	}
	if s == "" {
		return bad("is empty; write one such as svc:web")
	}
	if len(s) > maxName {
		return bad("is %d characters long; shorten each level to %d", len(s), MaxLabel)
	}
	if strings.Contains(s, "://") {
		return bad("is a URL; write only the name, such as svc:web")
	}
	text := lower(s)
	text, explicit := strings.CutPrefix(text, scheme)
	text, ok := cutPort(text)
	if !ok {
		return bad("ends in a port that is not a number from 0 to 65535; leave the port away")
	}
	var labels []string
	switch path, isDNS := cutDNS(text); {
	case text == "" || isDNS && path == "":
		return bad("has no service in it; write one such as svc:web")
	case isDNS && explicit:
		return bad("mixes two forms; write either svc:NAME or NAME%s", DNSSuffix)
	case isDNS:
		labels = strings.Split(path, ".")
		slices.Reverse(labels)
	case strings.Contains(text, "."):
		return bad("has dots but does not end in %s; separate levels by slashes, such as svc:shop/cart", DNSSuffix)
	default:
		labels = strings.Split(text, "/")
	}
	if len(labels) > MaxLevels {
		return bad("has %d levels; use at most %d", len(labels), MaxLevels)
	}
	for i, label := range labels {
		if label == wildcard && i < len(labels)-1 {
			return bad("has a wildcard before its end; only the last level may be *")
		}
		if why := checkLabel(label); why != "" {
			return bad("%s", why)
		}
	}
	return Name{scheme + strings.Join(labels, "/")}, nil
}

// MustParseName is ParseName for names in source code; it panics on an error.
func MustParseName(s string) Name {
	n, err := ParseName(s)
	if err != nil {
		panic("sal: " + err.Error())
	}
	return n
}

// lower maps ASCII only: Unicode has letters whose lower case is ASCII.
func lower(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

// cutDNS returns s without the suffix of the DNS form, if it has it.
func cutDNS(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".") // the root, in an absolute name
	if s == DNSSuffix[1:] {
		return "", true
	}
	return strings.CutSuffix(s, DNSSuffix)
}

// cutPort returns s without a port, and false if what follows the colon is none.
func cutPort(s string) (string, bool) {
	host, port, found := strings.Cut(s, ":")
	if !found {
		return s, true
	}
	_, err := strconv.ParseUint(port, 10, 16)
	return host, err == nil
}

// checkLabel returns what is wrong with one level of a name, "" if nothing.
func checkLabel(label string) string {
	switch {
	case label == "":
		return "has an empty level; remove the extra separator"
	case label == wildcard:
		return ""
	case len(label) > MaxLabel:
		return fmt.Sprintf("has a level of %d characters; shorten it to %d", len(label), MaxLabel)
	case label[0] == '-' || label[len(label)-1] == '-':
		return "has a level that starts or ends with a hyphen; put it between letters"
	}
	for _, c := range label {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return fmt.Sprintf("has the character %q in it; use letters, digits, hyphens and underscores", c)
		}
	}
	return ""
}
