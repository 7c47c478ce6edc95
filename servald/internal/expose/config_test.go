package expose

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/serval-net/serval/pkg/identity"
)

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"localhost:80":         {Host: "localhost", Port: 80, Stream: true},
		":80":                  {Host: "localhost", Port: 80, Stream: true},
		"80":                   {Host: "localhost", Port: 80, Stream: true},
		"localhost:http":       {Host: "localhost", Port: 80, Stream: true},
		"db.example.net":       {Host: "db.example.net", Stream: true},
		"192.0.2.1":            {Host: "192.0.2.1", Stream: true},
		"2001:db8::1":          {Host: "2001:db8::1", Stream: true},
		"[2001:db8::1]":        {Host: "2001:db8::1", Stream: true},
		"[2001:db8::1]:22":     {Host: "2001:db8::1", Port: 22, Stream: true},
		"unix:/run/a:b":        {Path: "/run/a:b", Stream: true},
		"tcp:localhost:1":      {Host: "localhost", Port: 1, Stream: true},
		"udp:53":               {Host: "localhost", Port: 53, Datagram: true},
		"udp:192.0.2.1":        {Host: "192.0.2.1", Datagram: true},
		"tcp+udp:localhost:53": {Host: "localhost", Port: 53, Stream: true, Datagram: true},
		"udp+tcp:localhost":    {Host: "localhost", Stream: true, Datagram: true},
	} {
		got, err := ParseTarget(text)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := ParseTarget(got.String()); err != nil || again != got {
			t.Errorf("%s is written as %s, which is %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", ":", "localhost:", "localhost:0", "localhost:65536", "a:b:c", "a b", "unix:", "udp:", "http://localhost/", "[::1", "localhost:no-such-port"} {
		if got, err := ParseTarget(text); err == nil || !strings.Contains(err.Error(), "write") && !strings.Contains(err.Error(), "port") {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"localhost:80", "udp:[::1]:53", "unix:/x", "tcp+udp:h", ":1", "fe80::1%eth0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTarget(text)
		if err != nil {
			return
		}
		if !got.Stream && !got.Datagram || (got.Host == "") == (got.Path == "") {
			t.Fatalf("%q is %+v", text, got)
		}
		if again, err := ParseTarget(got.String()); err != nil || again != got {
			t.Fatalf("%q is %+v, written as %q, which is %+v, %v", text, got, got.String(), again, err)
		}
	})
}

func TestParsePorts(t *testing.T) {
	p, err := ParsePorts([]string{"22", "8000-8099", "65535"})
	if err != nil {
		t.Fatal(err)
	}
	for port, want := range map[uint16]bool{0: false, 21: false, 22: true, 7999: false, 8000: true, 8099: true, 8100: false, 65535: true} {
		if p.Allow(port) != want {
			t.Errorf("port %d is allowed: %v", port, !want)
		}
	}
	if (Ports{}).Allow(0) || !(Ports{}).Allow(1) {
		t.Error("the empty list allows any port, and 0 is none")
	}
	for _, bad := range []string{"", "0", "80-22", "x", "1-65536", "-1", "1-", "22 "} {
		if _, err := ParsePorts([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := ParsePorts(make([]string, maxPorts+1)); err == nil {
		t.Error("any number of ports is taken")
	}
}

func TestMistakes(t *testing.T) {
	for want, c := range map[string]Config{
		"what serves the name":    {Name: "svc:a"},
		"no such":                 {Name: "svc:a b", To: ":80"},
		"either a command":        {Name: "svc:a", To: ":80", Command: []string{"true"}},
		"needs the address":       {Name: "svc:a", OnDemand: true, Command: []string{"true"}},
		"needs a command":         {Name: "svc:a", OnDemand: true, To: ":80"},
		"listens at one port":     {Name: "svc:a", OnDemand: true, To: "localhost", Command: []string{"true"}},
		"cannot be checked":       {Name: "svc:a", OnDemand: true, To: ":80", Command: []string{"true"}, Check: "cmd:true"},
		"executable file":         {Name: "svc:a", Command: []string{"no-such-program-"}},
		"has one":                 {Name: "svc:a", To: ":80", Ports: []string{"80"}},
		"a range of ports":        {Name: "svc:a", To: "localhost", Ports: []string{"x"}},
		"not a version":           {Name: "svc:a", To: ":80", Proxy: "v1"},
		"from its environment":    {Name: "svc:a", Command: []string{"true"}, Proxy: "v2"},
		"no address of a caller":  {Name: "svc:a", To: ":80", Proxy: "v2", ProxyAddress: "real"},
		"weight":                  {Name: "svc:a", To: ":80", Weight: -1},
		"priority":                {Name: "svc:a", To: ":80", Priority: 1 << 20},
		"fastest":                 {Name: "svc:a", To: ":80", Balance: "fastest"},
		"bits set":                {Name: "svc:a", To: ":80", Keys: []string{"9/1"}},
		"there is none":           {Name: "svc:a", To: "udp::53", Check: "tcp"},
		"time between checks":     {Name: "svc:a", To: ":80", CheckEvery: -1},
		"time to dial":            {Name: "svc:a", To: ":80", DialTimeout: -1},
		"idle time must not":      {Name: "svc:a", To: ":80", Idle: -1},
		"idle time of datagrams":  {Name: "svc:a", To: ":80", UDPIdle: -1},
		"time to drain":           {Name: "svc:a", To: ":80", Drain: -1},
		"connections are handled": {Name: "svc:a", To: ":80", Max: -1},
	} {
		err := c.Validate()
		if want == "no such" {
			want = "a b"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

func TestPortMap(t *testing.T) {
	m := portMap{fixed: 69, spoken: true}
	if p, ok := m.out(6969); p != 69 || !ok {
		t.Errorf("a datagram goes to port %d, %v", p, ok)
	}
	if p := m.in(69); p != 6969 {
		t.Errorf("the answer comes from port %d", p)
	}
	for p := uint16(1000); p < 1000+2*maxLearnt; p++ { // forgets the oldest
		if got := m.in(p); got != p {
			t.Errorf("an answer from port %d comes from %d", p, got)
		}
	}
	if len(m.learnt) != maxLearnt {
		t.Errorf("%d ports are remembered", len(m.learnt))
	}
	if p, _ := m.out(1000 + 2*maxLearnt - 1); p != 1000+2*maxLearnt-1 {
		t.Errorf("a datagram to the latest port goes to %d", p)
	}
	if p, _ := m.out(1000); p != 69 {
		t.Errorf("a datagram to a port that is forgotten goes to %d", p)
	}
	silent := portMap{fixed: 69}
	if p := silent.in(1000); p != 0 {
		t.Errorf("a client without ports gets port %d", p)
	}
	bounded := portMap{allowed: Ports{{5000, 5009}}, spoken: true}
	if _, ok := bounded.out(22); ok {
		t.Error("a port that is not allowed is")
	}
	bounded.in(40000)
	if p, ok := bounded.out(40000); p != 40000 || !ok {
		t.Error("a port that the server answered from is not allowed")
	}
}

// FuzzHeader: whatever a caller says of itself, the header is one that others read,
// with what was verified as it is.
func FuzzHeader(f *testing.F) {
	f.Add("svc:web", "laptop", "192.0.2.1:4000", "192.0.2.2:7000", uint16(80), true, false)
	f.Add("svc:shop/cart", "a\x00b\nc\xff", "[2001:db8::1]:1", "192.0.2.2:7000", uint16(0), false, true)
	f.Add("", strings.Repeat("ü", 300), "", "[fe80::1%eth0]:9", uint16(65535), true, true)
	f.Fuzz(func(t *testing.T, service, name, from, to string, port uint16, datagram, virtualAddress bool) {
		c := Caller{Service: clean(service), Port: port, Node: identity.NodeID{1, 2, 3}}
		c.setPeer(identity.Peer{Node: c.Node, Name: name})
		c.Addr, _ = netip.ParseAddrPort(from)
		c.Local, _ = netip.ParseAddrPort(to)
		if len(c.Name) > maxName || !utf8.ValidString(c.Name) || strings.ContainsFunc(c.Name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("the name %q became %q", name, c.Name)
		}
		for _, v := range c.Environ() {
			if strings.ContainsAny(v, "\x00\n") {
				t.Fatalf("the environment has %q", v)
			}
		}
		b, err := c.Header(datagram, virtualAddress, 1)
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(bytes.NewReader(append(b, "rest"...)))
		h, err := proxyproto.Read(r)
		if err != nil {
			t.Fatalf("%x is no header: %v", b, err)
		}
		if rest, err := r.Peek(4); err != nil || string(rest) != "rest" {
			t.Fatalf("after the header comes %q, %v", rest, err)
		}
		tlvs, err := h.TLVs()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, tlv := range tlvs {
			if tlv.Type == TLVNode {
				found = string(tlv.Value) == c.Node.String()
			}
		}
		if !found {
			t.Fatal("the header does not say who calls")
		}
	})
}

// TestVirtualAddress: a node's address never changes.
func TestVirtualAddress(t *testing.T) {
	if got := fmt.Sprint(virtual(identity.NodeID{1, 2, 3})); got != "fd5e:7276:616c:20a8:d68f:4044:ef20:8bc9" {
		t.Errorf("it is %s", got)
	}
}
