package scenario

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/lab"
)

// limit bounds times, so that nothing overflows.
const limit = 24 * time.Hour

// Parse reads a scenario. Everything from a # on is a comment. The lines are
//
//	title TEXT
//	path a 100mbit 20ms [queue 50ms] [loss 1%] [jitter 2ms] [reorder 1%] [duplicate 1%]
//	       [nat keep | nat symmetric]
//	family v4 | v6 | dual
//	with third joined serverlo metrics     see lab.Topology
//	client a b                             paths at which the host has an
//	server a                               interface; without the line all
//	use KEY VALUE                          an option for the programs
//	at 3s ACTION
//	end 12s
//
// Paths are named a, b, c in order. Where an action takes an interface, "a" is the
// client's at path a and "server.a" the server's:
//
//	down IFACE, up IFACE                   by the operator
//	cut IFACE, mend IFACE                  the cable
//	remove IFACE, add IFACE                the address
//	swap IFACE [network]                   another address, also of another network
//	move IFACE PATH                        to another path's router
//	flap IFACE PERIOD, calm IFACE
//	blackhole PATH [up | down], unblackhole PATH [up | down]
//	firewall PATH on | off                 against UDP
//	nat PATH keep | symmetric | off, rebind PATH
//	set PATH 10mbit 100ms loss 5% ...      what it does not name stays
//	tell client|server TEXT                for the program there
//
// An error names the line.
func Parse(text string) (*Scenario, error) {
	s := &Scenario{Options: map[string]string{}}
	p := parser{s: s}
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := p.line(words); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", n+1, strings.Join(words, " "), err)
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return s, nil
}

type parser struct {
	s       *Scenario
	pending []func() error // checks for when all paths are known
}

func (p *parser) line(words []string) error {
	s, args := p.s, words[1:]
	switch words[0] {
	case "title":
		s.Title = strings.Join(args, " ")
		return nil
	case "path":
		return p.path(args)
	case "family":
		return choose(args, &s.Topology.Family, map[string]lab.Family{"v4": lab.IPv4, "v6": lab.IPv6, "dual": lab.Dual})
	case "with":
		return p.with(args)
	case "client":
		return p.places(args, &s.Topology.Client)
	case "server":
		return p.places(args, &s.Topology.Server)
	case "use":
		if len(args) < 2 {
			return errors.New("want: use KEY VALUE")
		}
		s.Options[args[0]] = strings.Join(args[1:], " ")
		return nil
	case "at":
		return p.at(args)
	case "end":
		if len(args) != 1 {
			return errors.New("want: end TIME")
		}
		var err error
		s.End, err = parseTime(args[0])
		return err
	}
	return errors.New("unknown word; want title, path, family, with, client, server, use, at or end")
}

// finish checks what takes the whole text.
func (p *parser) finish() error {
	s := p.s
	if len(s.Topology.Paths) == 0 {
		return errors.New("no path; want a line such as: path a 100mbit 20ms")
	}
	for _, check := range p.pending {
		if err := check(); err != nil {
			return err
		}
	}
	slices.SortStableFunc(s.Events, func(a, b Event) int { return int(a.At/time.Microsecond - b.At/time.Microsecond) })
	last := time.Duration(0)
	if len(s.Events) > 0 {
		last = s.Events[len(s.Events)-1].At
	}
	if s.End == 0 {
		s.End = last + 3*time.Second
	}
	if s.End <= last {
		return fmt.Errorf("it ends at %v, with an event at %v", s.End, last)
	}
	return nil
}

func (p *parser) path(args []string) error {
	want := pathName(len(p.s.Topology.Paths))
	if len(args) == 0 || args[0] != want {
		return fmt.Errorf("paths are named in order; want: path %s RATE RTT", want)
	}
	if len(p.s.Topology.Paths) == 26 {
		return errors.New("that is one path too many")
	}
	changes, err := parseChanges(args[1:])
	if err != nil {
		return err
	}
	path := lab.Path{Queue: DefaultQueue}
	for _, c := range changes {
		c.apply(&path)
	}
	p.s.Topology.Paths = append(p.s.Topology.Paths, path)
	return nil
}

func (p *parser) with(args []string) error {
	t := &p.s.Topology
	for _, a := range args {
		switch a {
		case "third":
			t.Third = true
		case "joined":
			t.Joined = true
		case "serverlo":
			t.ServerLo = true
		case "metrics":
			t.Metrics = true
		default:
			return fmt.Errorf("unknown %q; want third, joined, serverlo or metrics", a)
		}
	}
	return nil
}

func (p *parser) places(args []string, at *[]int) error {
	*at = []int{}
	for _, a := range args {
		n, err := p.pathNumber(a)
		if err != nil {
			return err
		}
		if slices.Contains(*at, n) {
			return fmt.Errorf("path %s twice", a)
		}
		*at = append(*at, n)
	}
	if len(args) == 0 {
		return errors.New("want the names of paths")
	}
	return nil
}

// pathNumber returns the number of a path, which may be described only later.
func (p *parser) pathNumber(name string) (int, error) {
	if len(name) != 1 || name[0] < 'a' || name[0] > 'z' {
		return 0, fmt.Errorf("%q is no path; they are named a, b, c", name)
	}
	n := int(name[0] - 'a')
	p.pending = append(p.pending, func() error {
		if n >= len(p.s.Topology.Paths) {
			return fmt.Errorf("there is no path %s", name)
		}
		return nil
	})
	return n, nil
}

func pathName(n int) string { return string(rune('a' + n)) }

// parseChanges reads properties of a path.
func parseChanges(words []string) (changes []Change, err error) {
	for len(words) > 0 {
		w := words[0]
		c := Change{What: w}
		switch w {
		case "queue", "jitter", "loss", "reorder", "duplicate", "nat":
			if len(words) < 2 {
				return nil, fmt.Errorf("%s: want a value after it", w)
			}
			switch w {
			case "queue", "jitter":
				c.Time, err = parseTime(words[1])
			case "nat":
				err = choose(words[1:2], &c.NAT, nats)
			default:
				c.Share, err = parseShare(words[1])
			}
			words = words[1:]
		default:
			if c.Rate, err = parseRate(w); err == nil {
				c.What = "rate"
			} else if c.Time, err = parseTime(w); err == nil {
				c.What = "rtt"
			} else {
				err = fmt.Errorf("%q is neither a rate (100mbit) nor a time (20ms) nor one of queue, loss, jitter, reorder, duplicate, nat", w)
			}
		}
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
		words = words[1:]
	}
	return changes, nil
}

var rateUnits = []struct {
	name string
	bits float64
}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}}

func parseRate(s string) (int64, error) {
	for _, unit := range rateUnits {
		if number, ok := strings.CutSuffix(s, unit.name); ok {
			v, err := strconv.ParseFloat(number, 64)
			// Below the lower bound a bucket cannot hold a packet.
			if bits := math.Round(v * unit.bits); err == nil && bits >= 8e3 && bits <= 1e12 {
				return int64(bits), nil
			}
			return 0, fmt.Errorf("%q is no rate from 8kbit to 1000gbit", s)
		}
	}
	if s == "unlimited" {
		return 0, nil
	}
	return 0, fmt.Errorf("%q is no rate such as 100mbit", s)
}

func parseTime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > limit || d != d.Truncate(time.Microsecond) {
		return 0, fmt.Errorf("%q is no time such as 20ms or 1.5s", s)
	}
	return d, nil
}

func parseShare(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q is no share such as 1%%", s)
	}
	return v, nil
}

// choose sets one of several named values.
func choose[T any](args []string, to *T, names map[string]T) error {
	if len(args) == 1 {
		if v, ok := names[args[0]]; ok {
			*to = v
			return nil
		}
	}
	var all []string
	for name := range names {
		all = append(all, name)
	}
	slices.Sort(all)
	return fmt.Errorf("want one of %s", strings.Join(all, ", "))
}
