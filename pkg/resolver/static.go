package resolver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// Static resolves from a fixed list. Its text has one instance in each line: a
// service, its addresses and what else there is to say of it.
//
//	# instances of three services
//	web         192.0.2.1:7001,[2001:db8::1]:7001  priority=1
//	web         192.0.2.2:7001  weight=3
//	shop/cart   192.0.2.3:7001  node=aebagbafaydqqcikbmga2dqpca  balance=hash
//	cache       192.0.2.3:7001  keys=0/2,c/2
//
// The service may be a wildcard such as shop/*. An instance without a node is
// whoever answers there and may serve the service. A node is where its instances
// are, unless a line of its own says more.
type Static struct {
	services map[sal.Name][]Instance
	nodes    map[sal.Name][]Instance // by NodeName
	health   Health
}

const maxStatic = 1 << 20 // bytes of text

// NewStatic returns a resolver of the instances given.
func NewStatic(list ...Instance) *Static {
	s := &Static{services: make(map[sal.Name][]Instance), nodes: make(map[sal.Name][]Instance)}
	for _, in := range list {
		s.services[in.Service] = append(s.services[in.Service], in)
		if in.Node != (identity.NodeID{}) {
			name := NodeName(in.Node)
			s.nodes[name] = append(s.nodes[name], in)
		}
	}
	return s
}

// StaticFile reads a Static from a file.
func StaticFile(path string) (*Static, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("resolver: the list of services cannot be read: %w", err)
	}
	defer f.Close()
	return ParseStatic(path, f)
}

// FromEnv reads the file that the environment variable SERVAL_SERVICES names,
// or the instances in it if it has lines of them, separated by newlines or
// semicolons. It returns nil if the variable is not set.
func FromEnv() (*Static, error) {
	const variable = "SERVAL_SERVICES"
	switch v := os.Getenv(variable); {
	case v == "":
		return nil, nil
	case strings.ContainsAny(strings.TrimSpace(v), " \t\n;"):
		return ParseStatic(variable, strings.NewReader(strings.ReplaceAll(v, ";", "\n")))
	default:
		return StaticFile(v)
	}
}

// ParseStatic reads the text of a Static. Errors name the source and the line.
func ParseStatic(source string, r io.Reader) (*Static, error) {
	var list []Instance
	lines := bufio.NewScanner(io.LimitReader(r, maxStatic))
	n := 0
	for lines.Scan() {
		n++
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		in, err := parseInstance(fields)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", source, n, err)
		}
		list = append(list, in)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", source, n+1, err)
	}
	return NewStatic(list...), nil
}

func parseInstance(fields []string) (in Instance, err error) {
	if in.Service, err = sal.ParseName(fields[0]); err != nil {
		return in, err
	}
	if len(fields) < 2 {
		return in, fmt.Errorf("%v has no addresses; write them behind it, such as 127.0.0.1:7001", in.Service)
	}
	for _, text := range strings.Split(fields[1], ",") {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return in, fmt.Errorf("%q is not an address and port; write 192.0.2.1:7001 or [2001:db8::1]:7001", text)
		}
		if a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
			return in, fmt.Errorf("nobody can be reached at %v; write the address and port of a host", a)
		}
		in.Addrs = append(in.Addrs, a)
	}
	for _, option := range fields[2:] {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "node":
			in.Node, err = identity.ParseNodeID(value)
		case "weight":
			in.Weight, err = parseInt(option, value, 0, 65535)
		case "priority":
			in.Priority, err = parseInt(option, value, -32768, 32767)
		case "balance":
			in.Balance, err = ParseBalance(value)
		case "keys":
			in.Keys, err = parseKeys(in.Service, value)
		default:
			err = fmt.Errorf("%q is unknown; use node=, weight=, priority=, balance= or keys=", option)
		}
		if err != nil {
			return in, err
		}
	}
	return in, nil
}

// parseKeys reads key prefixes with commas between them.
func parseKeys(service sal.Name, text string) (keys []sal.KeyPrefix, err error) {
	if service.IsWildcard() {
		return nil, fmt.Errorf("%v stands for many services and cannot own keys of one; leave keys= out", service)
	}
	for _, s := range strings.Split(text, ",") {
		k, err := sal.ParseKeyPrefix(s)
		if err != nil {
			return nil, err
		}
		if keys = append(keys, k); len(keys) > MaxKeys {
			return nil, fmt.Errorf("%v has more than %d key prefixes in a line", service, MaxKeys)
		}
	}
	return keys, nil
}

func parseInt(option, value string, least, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q is not valid; write a number from %d to %d", option, least, most)
	}
	return n, nil
}

// Resolve implements Resolver.
func (s *Static) Resolve(_ context.Context, service sal.Name) ([]Instance, error) {
	for _, name := range patterns(service) {
		if list := s.services[name]; len(list) > 0 {
			found := append([]Instance(nil), list...)
			s.health.Sort(found, time.Now())
			return found, nil
		}
	}
	if list := s.nodes[service]; len(list) > 0 {
		return append([]Instance(nil), list...), nil
	}
	return nil, &NoServiceError{service}
}

// Services implements Lister.
func (s *Static) Services(context.Context) (all []Instance, err error) {
	for name, list := range s.services {
		if isNode(name) {
			continue
		}
		all = append(all, list...)
	}
	return all, nil
}

// Report implements Feedback.
func (s *Static) Report(in Instance, ok bool) { s.health.Report(in, ok, time.Now()) }
