package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/serval"
)

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParse(t *testing.T) {
	c := parse(t, `
[node]
drain = "1m"
[dns]
[tun]
[socks5]
[http_proxy]
listen = ["unix:/run/proxy"]
[[name]]
match = "svc:shop/*"
policy = "pinned:wlan0"
clients = ["10.0.0.0/8"]
pin = false
[[expose]]
name = "cart.shop.svc.serval"
to = "localhost:80"
[[forward]]
listen = "8080"
name = "web"
port = 80
[[forward]]
listen = "udp:127.0.0.1:5353"
name = "svc:dns"
timeout = "3s"
[[capture]]
to = ["192.0.2.0/24"]
ports = [80]
`)
	for _, test := range []struct{ got, want any }{
		{c.Node.Drain, Duration{time.Minute}},
		{c.DNS.Listen[0].String(), "127.0.0.1:53"},
		{*c.TUN, TUN{Device: "serval0", MTU: 65520}},
		{c.SOCKS5.Listen, []Listen{{"tcp", "localhost:1080"}}},
		{c.HTTPProxy.Listen, []Listen{{"unix", "/run/proxy"}}},
		{c.Name[0].Policy, serval.Policy{Mode: serval.Pinned, Interface: "wlan0"}},
		{*c.Name[0].Pin, false},
		{c.Expose[0].Name.String(), "svc:shop/cart"},
		{c.Forward[0].Listen.String(), "localhost:8080"},
		{c.Forward[1].Listen.String(), "udp:127.0.0.1:5353"},
		{c.Forward[1].Timeout.String(), "3s"},
		{c.Capture[0].Mode, "redirect"},
		{c.Addresses.IPv4.String(), "198.18.0.0/15"},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("got %v, want %v", test.got, test.want)
		}
	}
	if !reflect.DeepEqual(parse(t, ""), parse(t, Example)) {
		t.Error("the example is not that of an empty configuration")
	}
}

// Errors say where they are, what is wrong, and what to write.
func TestErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"[[forward]]\nlisten = \"localhost:1\"\nnmae = \"svc:web\"", `test.toml:3:1: [forward] has no "nmae" (is "name" meant?). It takes listen, name, port, max, timeout, clients, udp_idle.`},
		{"[sokcs5]\n", `test.toml:1:2: a configuration has no "sokcs5" (is "socks5" meant?). It takes node, gossip,`},
		{"[tun]\nmtu = 1500\n[tun.more]\nx = 1", `[tun] has no "more"`},
		{"x = 1\n[y]\n", `test.toml:2`},
		{"[[forward]\n", "test.toml:1:"},
		{"[tun]\nmtu = \"big\"", "test.toml:2:7: tun.mtu: takes a number, not a string"},
		{"[socks5]\nlisten = \"localhost:1080\"", `listen: takes a list`},
		{"[socks5]\nforeign = \"yes\"", `"yes" says nothing about foreign destinations; write none, public or any`},
		{"[[expose]]\non_demand = 1", "takes true or false, not an integer"},
		{"[[dns]]\n", "dns"},
		{"[node]\ndrain = \"10\"", `test.toml:2:9: node.drain: "10" is no duration; write a number with a unit`},
		{"[node]\ndrain = 10", `"10" is no duration`},
		{"[node]\ndrain = \"-1s\"", "less than 0"},
		{"[node]\nlisten = [\"everywhere\"]", "test.toml:2:"},
		{"[[forward]]\nlisten = \":80\"\nname = \"web\"", "0.0.0.0:8080 for all addresses"},
		{"[[forward]]\nlisten = \"unix:here\"\nname = \"web\"", "the whole path"},
		{"[[forward]]\nlisten = \"localhost:0\"\nname = \"web\"", "nowhere to listen"},
		{"[[forward]]\nlisten = \"localhost:80\"\nname = \"we b\"", `test.toml:3:8: forward.name: service name "we b"`},
		{"[[forward]]\nlisten = \"localhost:80\"\nname = \"web\"\nport = 65536", "test.toml:4"},
		{"[[forward]]\nname = \"web\"", "[[forward]] number 1: it does not say where"},
		{"[[forward]]\nlisten = \"localhost:80\"", "[[forward]] number 1 (localhost:80): it does not say to what"},
		{"[[forward]]\nlisten = \"localhost:80\"\nname = \"web/*\"", "not one service"},
		{"[socks5]\nlisten = [\"localhost:80\"]\n[[forward]]\nlisten = \"localhost:80\"\nname = \"web\"", "[[forward]] number 1 and [socks5] both listen at localhost:80"},
		{"[socks5]\nlisten = [\"0.0.0.0:1080\"]\nforeign = \"any\"", "open to everybody"},
		{"[http_proxy]\nlisten = [\"[::]:1080\"]\nforeign = \"any\"", "open to everybody"},
		{"[socks5]\nusers = { \"\" = \"x\" }", "1 to 255 bytes"},
		{"[socks5]\nlisten = [\"udp:localhost:1\"]", "TCP address"},
		{"[[expose]]\nto = \"localhost:80\"", "[[expose]] number 1: it has no name"},
		{"[[expose]]\nname = \"web\"", "[[expose]] number 1 (svc:web): say what serves the name"},
		{"[[expose]]\nname = \"web\"\nto = \"1\"\n[[expose]]\nname = \"svc:web\"\nto = \"2\"", "number 1 and number 2 are both svc:web"},
		{"[[capture]]\nmode = \"steal\"", "redirect or tproxy"},
		{"[[capture]]\nname = \"web\"", "does not say which traffic"},
		{"[[capture]]\nports = [1]\nto = [\"192.0.2.1/24\"]", "write 192.0.2.0/24"},
		{"[[capture]]\nto = [\"192.0.2.1/32\"]", "write which ports are meant"},
		{"[[capture]]\nports = [80]\nto = [\"0.0.0.0/0\"]", "is everything"},
		{"[[capture]]\n[[capture]]\nusers = [\"x\"]\n[[capture]]", "number 1 and number 3 capture the same"},
		{"[[capture]]\nports = [80]\nto = [\"127.0.0.1/32\"]", "this host only"},
		{"[[capture]]\nfrom = \"clients\"\nusers = [\"x\"]", "has none"},
		{"[[name]]\ndeny = true", "does not say which names"},
		{"[[name]]\nmatch = \"web\"\npolicy = \"fast\"", "write automatic, aggregate"},
		{"[[name]]\nmatch = \"web\"\nalpn = [\"\"]", "is no protocol"},
		{"[[name]]\nmatch = \"web\"\naddresses = [\"192.0.2.1\", \"192.0.2.2\"]", "one IPv4 address"},
		{"[addresses]\nipv4 = \"10.0.0.1/8\"", "write 10.0.0.0/8"},
		{"[addresses]\nipv4 = \"fd00::/48\"", "no IPv4 prefix"},
		{"[addresses]\nipv4 = \"10.0.0.0/30\"", "choose from 8 to 29"},
		{"[addresses]\nipv4 = \"127.0.0.0/8\"", "special to hosts"},
		{"[dns]\nupstream = [\"dns.example\"]", "no IP address"},
		{"[dns]\nupstream = [\"192.0.2.53:0\"]", "no IP address"},
		{"[dns]\nupstream = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\", \"192.0.2.4\", \"192.0.2.5\", \"192.0.2.6\", \"192.0.2.7\", \"192.0.2.8\", \"192.0.2.9\"]", "at most 8"},
		{"[dns]\nresolv_conf = \"yes\"", "one of auto, file, resolved, off"},
		{"[tun]\nmtu = 100", "1280 to 65535"},
		{"[tun]\ndevice = \"a/b\"", "no name of an interface"},
		{"[clients]\nmax_dials = -1", "less than 0"},
		// All that is wrong is told at once.
		{"[tun]\nmtu = 1\n[[forward]]\nname = \"web\"", "does not say where"},
		{"[tun]\nmtu = 1\n[[forward]]\nname = \"web\"", "test.toml: [tun]: mtu 1"},
	} {
		_, err := Parse("test.toml", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s", test.text, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "config.") {
			t.Errorf("%q: the error speaks of the program: %v", test.text, err)
		}
	}
	if _, err := Parse("x", make([]byte, maxFile+1)); err == nil {
		t.Error("a huge file is read")
	}
}

// allKeys lists the keys of all sections as "section key", and sections as "section".
func allKeys(t reflect.Type, section string) (list []string) {
	for f := range t.Fields() {
		key := f.Tag.Get("toml")
		if key == "" {
			panic(f.Name + " has no key")
		}
		if section == "" {
			list = append(list, key)
			list = append(list, allKeys(element(f.Type), key)...)
		} else {
			list = append(list, section+" "+key)
		}
	}
	return list
}

// Every key is in the example, which is valid with all of them.
func TestExampleIsComplete(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#([^ \n])`).ReplaceAllString(Example, "$1")
	// Keys of one section that exclude each other.
	text = strings.Replace(text, `"v2"`, `"v2"`, 1)
	text = strings.Replace(text, "to = \"localhost:80\"                # or unix", "to = \"localhost\"# or unix", 1)
	text = strings.Replace(text, `command = [`, `#command = [`, 1)
	text = strings.Replace(text, "load = \"cmd:load-of-web\"", "load = \"http://localhost/load\"", 1)
	text = strings.Replace(text, "check = \"tcp\"", "check = \"http://localhost/\"", 1)
	if _, err := Parse("example.toml", []byte(text)); err != nil {
		t.Error(err)
	}
	compare(t, "the example", scan(Example, regexp.MustCompile(`^#?\[+([a-z0-9_]+)\]+`), regexp.MustCompile(`^#?([a-z0-9_]+) = `)))
}

// Every key is described in docs/configuration.md, and no other.
func TestDocumentationIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "docs/configuration.md", scan(string(text), regexp.MustCompile("^## .*`\\[+([a-z0-9_]+)\\]+`"), regexp.MustCompile("^\\| `([a-z0-9_]+)` \\|")))
}

// scan finds sections and their keys, line by line.
func scan(text string, section, key *regexp.Regexp) (found []string) {
	at := ""
	for line := range strings.Lines(text) {
		if m := section.FindStringSubmatch(line); m != nil {
			at = m[1]
			found = append(found, at)
		} else if m := key.FindStringSubmatch(line); m != nil {
			found = append(found, at+" "+m[1])
		}
	}
	return found
}

func compare(t *testing.T, where string, found []string) {
	t.Helper()
	want := allKeys(reflect.TypeFor[Config](), "")
	for _, k := range want {
		if !slices.Contains(found, k) {
			t.Errorf("%s does not have %q", where, k)
		}
	}
	for i, k := range found {
		if !slices.Contains(want, k) {
			t.Errorf("%s has %q, which is no key", where, k)
		}
		if slices.Contains(found[:i], k) {
			t.Errorf("%s has %q twice", where, k)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "servald.toml")
	write := func(text string, mode os.FileMode) {
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chmod(path, mode)
	}
	load := func(name string, want string) {
		t.Helper()
		_, err := Load(name)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	load(path, "no such file")
	load(dir, "no file")
	write(Example, 0o644)
	load(path, "")
	write(Example, 0o666)
	load(path, "chmod go-w")
	write("[socks5]\nusers = { a = \"b\" }", 0o644)
	load(path, "chmod 600")
	write("[socks5]\nusers = { a = \"b\" }", 0o600)
	load(path, "")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	load(link, "")
	write("[tun]\nmtu = 1", 0o600)
	load(link, link+": [tun]: mtu")
	if os.Geteuid() == 0 {
		os.Chown(path, 4711, 4711)
		load(link, fmt.Sprintf("%s belongs to user 4711", link))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte(regexp.MustCompile(`(?m)^#([^ \n])`).ReplaceAllString(Example, "$1")))
	f.Add([]byte("[[forward]]\nlisten = \"unix:/x\"\nname = \"a.b.c.d\""))
	f.Add([]byte("[tun.x.y]\nz = 1\n[socks5.users.a]\nb = 2"))
	f.Add([]byte("node = 1\nforward = [1]\nname = {}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f", text)
		if (c == nil) != (err != nil) {
			t.Errorf("%v, %v", c, err)
		}
		if err == nil && c.Check() != nil {
			t.Error("what was checked is wrong")
		}
	})
}
