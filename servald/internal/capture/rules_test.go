package capture

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// TestRules shows the rules as nft takes them.
func TestRules(t *testing.T) {
	to := prefixes("198.18.0.0/15", "192.0.2.80/32", "fd5e:7276:616c::/48")
	for name, test := range map[string]struct {
		cfg   Config
		users []string
		want  []string // in this order, and nothing between
	}{
		"redirect": {Config{Mode: Redirect, From: Host, To: to}, nil, []string{
			"table inet serval_7_5e720001 { flags owner;",
			" chain output { type nat hook output priority -100; policy accept;",
			" meta mark != 0x53565244 meta l4proto tcp ip daddr { 198.18.0.0/15, 192.0.2.80/32 } redirect to :1000;",
			" meta mark != 0x53565244 meta l4proto tcp ip6 daddr { fd5e:7276:616c::/48 } redirect to :2000;",
			" }; }\n",
		}},
		"redirect for some": {Config{Mode: Redirect, From: Both, To: to[1:2], Ports: []uint16{80, 443}}, []string{"33", "0"}, []string{
			"table inet serval_7_5e720001 { flags owner;",
			" chain output { type nat hook output priority -100; policy accept;",
			" meta mark != 0x53565244 meta skuid { 33, 0 } meta l4proto tcp ip daddr { 192.0.2.80/32 } th dport { 80, 443 } redirect to :1000;",
			" };",
			" chain prerouting { type nat hook prerouting priority -100; policy accept;",
			" iifname != \"lo\" meta l4proto tcp ip daddr { 192.0.2.80/32 } th dport { 80, 443 } redirect to :1000;",
			" }; }\n",
		}},
		"tproxy": {Config{Mode: TPROXY, From: Host, To: to[2:]}, nil, []string{
			"table inet serval_7_5e720001 { flags owner;",
			" chain prerouting { type filter hook prerouting priority -150; policy accept;",
			" iifname \"lo\" meta mark 0x5e720001 meta l4proto { tcp, udp } ip6 daddr { fd5e:7276:616c::/48 } tproxy ip6 to [::1]:2000 meta mark set 0x5e720001 accept;",
			" };",
			" chain output { type route hook output priority -150; policy accept;",
			" meta mark != 0x53565244 ct direction original meta l4proto { tcp, udp } ip6 daddr { fd5e:7276:616c::/48 } meta mark set 0x5e720001;",
			" }; }\n",
		}},
		"tproxy of clients": {Config{Mode: TPROXY, From: Clients, To: to[:1], Ports: []uint16{53}}, nil, []string{
			"table inet serval_7_5e720001 { flags owner;",
			" chain prerouting { type filter hook prerouting priority -150; policy accept;",
			" iifname != \"lo\" meta l4proto { tcp, udp } ip daddr { 198.18.0.0/15 } th dport { 53 } tproxy ip to 127.0.0.1:1000 meta mark set 0x5e720001 accept;",
			" }; }\n",
		}},
	} {
		got := table{7, numberBase | 1}.rules(test.cfg, test.users, ports{1000, 2000}, true)
		if want := strings.Join(test.want, ""); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	if got := (table{7, numberBase}).rules(Config{Mode: Redirect, From: Host, To: to}, nil, ports{v4: 1}, false); strings.Contains(got, "ip6") || strings.Contains(got, "owner") {
		t.Errorf("without IPv6 and owner: %s", got)
	}
}

func TestParseTable(t *testing.T) {
	if got, ok := parseTable("serval_12_5e72beef"); !ok || got != (table{12, 0x5e72beef}) {
		t.Errorf("%v, %v", got, ok)
	}
	for _, s := range []string{"", "serval", "serval_1", "serval_1_2", "serval_01_5e720000", "serval_1_5e720000x", "x_1_5e720000"} {
		if got, ok := parseTable(s); ok {
			t.Errorf("%q is taken for %v", s, got)
		}
	}
}

// TestMistakes: what cannot be meant is refused before anything is changed.
func TestMistakes(t *testing.T) {
	for want, cfg := range map[string]Config{
		"no mode":      {Mode: "steal", To: prefixes("198.18.0.0/15")},
		"no traffic":   {From: "all", To: prefixes("198.18.0.0/15")},
		"to which":     {},
		"a Handler":    {To: prefixes("198.18.0.0/15")},
		"everything":   {To: prefixes("0.0.0.0/0"), Handler: handler{}},
		"of this host": {To: prefixes("127.0.0.0/16"), Handler: handler{}},
	} {
		if _, err := cfg.withDefaults(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	lookup := func(name string) (string, error) {
		switch name {
		case "www":
			return "33", nil
		case "odd":
			return "33 accept", nil
		}
		return "", errors.New("unknown user")
	}
	if ids, err := userIDs([]string{"www", "33", "7"}, lookup); err != nil || strings.Join(ids, " ") != "33 7" {
		t.Errorf("%v, %v", ids, err)
	}
	for _, u := range []string{"nobody; accept", "odd", "-1"} {
		if _, err := userIDs([]string{u}, lookup); err == nil {
			t.Errorf("user %q is taken", u)
		}
	}
}
