package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/serval-net/serval/interop/lab"
)

// String returns the scenario as a text that Parse reads back as the same one.
func (s *Scenario) String() string {
	var b strings.Builder
	line := func(words ...string) {
		words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
		b.WriteString(strings.Join(words, " ") + "\n")
	}
	if s.Title != "" {
		line("title", s.Title)
	}
	t := &s.Topology
	for i, p := range t.Paths {
		line("path", pathName(i), formatPath(p))
	}
	if t.Family != lab.IPv4 {
		line("family", map[lab.Family]string{lab.IPv6: "v6", lab.Dual: "dual"}[t.Family])
	}
	with := []string{"with"}
	for _, f := range []struct {
		on   bool
		name string
	}{{t.Third, "third"}, {t.Joined, "joined"}, {t.ServerLo, "serverlo"}, {t.Metrics, "metrics"}} {
		if f.on {
			with = append(with, f.name)
		}
	}
	if len(with) > 1 {
		line(with...)
	}
	for _, host := range []struct {
		name   string
		places []int
	}{{"client", t.Client}, {"server", t.Server}} {
		if host.places == nil {
			continue
		}
		words := []string{host.name}
		for _, n := range host.places {
			words = append(words, pathName(n))
		}
		line(words...)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Options)) {
		line("use", key, s.Options[key])
	}
	for _, e := range s.Events {
		line("at", e.At.String(), e.Action.String())
	}
	line("end", s.End.String())
	return b.String()
}

// formatPath names what a path has. The two directions of loss cannot differ.
func formatPath(p lab.Path) string {
	changes := []Change{{What: "rate", Rate: p.Rate}, {What: "rtt", Time: p.RTT}}
	if p.Queue != DefaultQueue {
		changes = append(changes, Change{What: "queue", Time: p.Queue})
	}
	if p.Jitter != 0 {
		changes = append(changes, Change{What: "jitter", Time: p.Jitter})
	}
	for _, c := range []Change{{What: "loss", Share: p.Loss}, {What: "reorder", Share: p.Reorder}, {What: "duplicate", Share: p.Duplicate}} {
		if c.Share != 0 {
			changes = append(changes, c)
		}
	}
	if p.NAT != lab.NoNAT {
		changes = append(changes, Change{What: "nat", NAT: p.NAT})
	}
	words := make([]string, len(changes))
	for i, c := range changes {
		words[i] = c.String()
	}
	return strings.Join(words, " ")
}

// String returns the change as Parse reads it.
func (c Change) String() string {
	switch c.What {
	case "rate":
		return formatRate(c.Rate)
	case "rtt":
		return c.Time.String()
	case "queue", "jitter":
		return c.What + " " + c.Time.String()
	case "nat":
		return "nat " + nameOf(nats, c.NAT)
	}
	return fmt.Sprintf("%s %v", c.What, c.Share)
}

func formatRate(bits int64) string {
	if bits == 0 {
		return "unlimited"
	}
	unit := rateUnits[len(rateUnits)-1]
	for _, u := range rateUnits {
		if float64(bits) >= u.bits {
			unit = u
			break
		}
	}
	return strconv.FormatFloat(float64(bits)/unit.bits, 'f', -1, 64) + unit.name
}
