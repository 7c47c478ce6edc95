package capture

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/serval-net/serval/servald/internal/mark"
)

// table is a table of rules. Its name says whose it is.
type table struct {
	pid    int
	number uint32 // also the mark and the routing table of TPROXY
}

// numberBase is what the numbers of tables begin with, to be told from those of others.
const numberBase = 0x5e720000

func (t table) String() string { return fmt.Sprintf("serval_%d_%x", t.pid, t.number) }

// parseTable reads what String returns.
func parseTable(name string) (t table, ok bool) {
	_, err := fmt.Sscanf(name, "serval_%d_%x", &t.pid, &t.number)
	return t, err == nil && t.String() == name && t.number&0xffff0000 == numberBase
}

// rules returns the table in the language of nft, in one line. With owned, the kernel
// removes it when whoever made it is gone.
func (t table) rules(c Config, users []string, at ports, owned bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {", t)
	if owned {
		b.WriteString(" flags owner;")
	}
	if c.Mode == TPROXY {
		t.tproxy(&b, c, users, at)
	} else {
		t.redirect(&b, c, users, at)
	}
	b.WriteString(" }\n")
	return b.String()
}

// matches calls f with each part of a rule that says which packets, by version.
func (c *Config) matches(at ports, protocols string, f func(match, version string, port uint16)) {
	v4, v6 := families(c.To)
	for _, family := range []struct {
		list          []netip.Prefix
		word, version string
		port          uint16
	}{{v4, "ip", "ip", at.v4}, {v6, "ip6", "ip6", at.v6}} {
		if len(family.list) == 0 || family.port == 0 {
			continue
		}
		match := fmt.Sprintf("meta l4proto %s %s daddr { %s }", protocols, family.word, join(family.list))
		if len(c.Ports) > 0 {
			match += fmt.Sprintf(" th dport { %s }", join(c.Ports))
		}
		f(match, family.version, family.port)
	}
}

func join[T any](list []T) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(list)), ", "), "[]")
}

// ours leaves alone what servald opens to servers, and restricts the rest to users.
func ours(users []string) string {
	who := ""
	if len(users) > 0 {
		who = fmt.Sprintf(" meta skuid { %s }", join(users))
	}
	return fmt.Sprintf("meta mark != %#x%s", mark.Value, who)
}

func (t table) redirect(b *strings.Builder, c Config, users []string, at ports) {
	if c.From != Clients {
		b.WriteString(" chain output { type nat hook output priority -100; policy accept;")
		c.matches(at, "tcp", func(match, _ string, port uint16) {
			fmt.Fprintf(b, " %s %s redirect to :%d;", ours(users), match, port)
		})
		b.WriteString(" };")
	}
	if c.From != Host {
		b.WriteString(" chain prerouting { type nat hook prerouting priority -100; policy accept;")
		c.matches(at, "tcp", func(match, _ string, port uint16) {
			fmt.Fprintf(b, " iifname != \"lo\" %s redirect to :%d;", match, port)
		})
		b.WriteString(" };")
	}
}

func (t table) tproxy(b *strings.Builder, c Config, users []string, at ports) {
	b.WriteString(" chain prerouting { type filter hook prerouting priority -150; policy accept;")
	from := ""
	switch c.From {
	case Host:
		from = fmt.Sprintf("iifname \"lo\" meta mark %#x ", t.number)
	case Clients:
		from = "iifname != \"lo\" "
	}
	c.matches(at, "{ tcp, udp }", func(match, version string, port uint16) {
		loopback := "127.0.0.1"
		if version == "ip6" {
			loopback = "[::1]"
		}
		fmt.Fprintf(b, " %s%s tproxy %s to %s:%d meta mark set %#x accept;", from, match, version, loopback, port, t.number)
	})
	b.WriteString(" };")
	if c.From == Clients {
		return
	}
	// What programs of this host send comes by again, over loopback.
	b.WriteString(" chain output { type route hook output priority -150; policy accept;")
	c.matches(at, "{ tcp, udp }", func(match, _ string, _ uint16) {
		fmt.Fprintf(b, " %s ct direction original %s meta mark set %#x;", ours(users), match, t.number)
	})
	b.WriteString(" };")
}
