//go:build unix

package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/daemon"
)

func TestConfigCommand(t *testing.T) {
	r := newReal(t)
	t.Setenv(configVariable, "")
	example, _, code := r.run("", "config", "example")
	if code != exitOK || example != config.Example {
		t.Errorf("the example, code %d: %s", code, example)
	}
	if out, errs, code := r.run(example, "config", "check", "-"); code != exitOK || !strings.Contains(out, "asks for nothing") {
		t.Errorf("check of the example: %q, %q, code %d", out, errs, code)
	}
	if _, errs, code := r.run("[tnu]\n[dns]\nx = 1", "config", "check", "-"); code == exitOK || !strings.Contains(errs, "standard input:3:1") || !strings.Contains(errs, `is "tun" meant?`) {
		t.Errorf("check of mistakes: %q, code %d", errs, code)
	}
	path := filepath.Join(t.TempDir(), "servald.toml")
	os.WriteFile(path, []byte("[[forward]]\nlisten=\"8080\"\nname=\"web\"\n[tun]"), 0o600)
	if out, errs, code := r.run("", "config", "check", path); code != exitOK || !strings.Contains(out, "1 forward, 1 tun") {
		t.Errorf("check of a file: %q, %q, code %d", out, errs, code)
	}
	os.WriteFile(path, []byte("[tun]\nmtu=1"), 0o600)
	t.Setenv(configVariable, path)
	out, _, code := r.run("", "config", "check", "--json")
	var said struct{ Problems []string }
	if err := json.Unmarshal([]byte(out), &said); err != nil || len(said.Problems) != 1 || code != exitFailure {
		t.Errorf("as JSON: %q, %v, code %d", out, err, code)
	}
	// A file that is named has to be there and be right.
	r.run("", "init", "--seed", "127.0.0.1:1")
	if _, errs, code := r.run("", "run"); code != exitUsage || !strings.Contains(errs, "mtu 1") {
		t.Errorf("run with a wrong file: %q, code %d", errs, code)
	}
	if _, errs, code := r.run("", "run", "--config", path+"x"); code != exitUsage || !strings.Contains(errs, "no such file") {
		t.Errorf("run without the file: %q, code %d", errs, code)
	}
	if _, errs, code := r.run("", "reload"); code != exitFailure || !strings.Contains(errs, "servald runs") {
		t.Errorf("reload of nothing: %q, code %d", errs, code)
	}
}

// freePort is an address that nobody listens at just now.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// A servald whose configuration changes while connections are open: they go on, and
// what changes is what was changed.
func TestReload(t *testing.T) {
	r := newReal(t)
	legacy := conntest.Listen(t)
	go conntest.Echo(legacy)
	path := filepath.Join(t.TempDir(), "servald.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seed, one, two := freePort(t), freePort(t), freePort(t)
	if _, errs, code := r.run("", "init", "--seed", seed); code != exitOK {
		t.Fatal(errs)
	}
	expose := "[[expose]]\nname = \"svc:up\"\nto = \"" + legacy.Addr().String() + "\"\n"
	forward := func(at string, more string) string {
		return "[[forward]]\nlisten = \"" + at + "\"\nname = \"svc:up\"\n" + more + "\n"
	}
	write(expose + forward(one, ""))
	r.start("run", "--config", path)

	open := func(at string) (net.Conn, func()) {
		t.Helper()
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		lines := bufio.NewReader(c)
		return c, func() {
			t.Helper()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(c, "hello\n")
			if got, err := lines.ReadString('\n'); got != "hello\n" {
				t.Fatalf("through %s: %q, %v", at, got, err)
			}
		}
	}
	reload := func(want daemon.Reloaded) {
		t.Helper()
		out, errs, code := r.run("", "reload", "--json")
		var got daemon.Reloaded
		if err := json.Unmarshal([]byte(out), &got); err != nil || got.Changes != want.Changes || len(got.Failed) != len(want.Failed) || (code != exitOK) != (len(want.Failed) > 0) {
			t.Fatalf("reload: %s %s, code %d, want %+v", out, errs, code, want)
		}
	}
	_, echo := open(one)
	echo()
	reload(daemon.Reloaded{Changes: component.Changes{Kept: 2}})
	echo()
	// The same address with other settings: who is connected stays so.
	write(expose + forward(one, "max = 7") + forward(two, ""))
	reload(daemon.Reloaded{Changes: component.Changes{Kept: 1, Changed: 1, Started: 1}})
	echo()
	_, echo2 := open(one)
	echo2()
	_, echo3 := open(two)
	echo3()
	// A name that others want: the instance is changed while it serves.
	write(strings.Replace(expose, "to", "weight = 3\nto", 1) + forward(one, "max = 7"))
	reload(daemon.Reloaded{Changes: component.Changes{Kept: 1, Changed: 1, Stopped: 1}})
	for _, e := range []func(){echo, echo2, echo3} {
		e()
	}
	if out, _, _ := r.run("", "services", "--json", "up"); !strings.Contains(out, `"weight":3`) {
		t.Errorf("the instance is now %s", out)
	}
	if _, err := net.Dial("tcp", two); err == nil {
		t.Error("a section that is gone takes connections")
	}
	// A file with an error changes nothing.
	write("[[forward]]\nlisten = \"x\"")
	if _, errs, code := r.run("", "reload"); code != exitFailure || !strings.Contains(errs, "nothing has changed") || !strings.Contains(errs, path+":2:10") {
		t.Errorf("reload of an error: %q, code %d", errs, code)
	}
	echo()
	// A port that is taken does not keep the rest from running.
	taken := conntest.Listen(t)
	write(expose + forward(taken.Addr().String(), "") + forward(two, ""))
	reload(daemon.Reloaded{Changes: component.Changes{Started: 2, Changed: 1, Stopped: 1}, Failed: []string{"one"}})
	_, echo4 := open(two)
	echo4()
	out, _, _ := r.run("", "status")
	for _, want := range []string{"config   " + path, "forward  failed", "another program listens there", "expose   ready    svc:up", "forward  ending   " + one} {
		if !strings.Contains(out, want) {
			t.Errorf("the status does not have %q:\n%s", want, out)
		}
	}
	// A signal does what the command does.
	write(expose + forward(one, ""))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if out, _, _ := r.run("", "status"); strings.Contains(out, "forward  ready    "+one) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("SIGHUP does not reload")
		}
	}
	echo()
	echo4()
	// Only whoever starts it again can change this, and is told so until it is changed back.
	for _, test := range []struct {
		text string
		told bool
	}{{"[addresses]\nipv4 = \"10.9.0.0/16\"\n", true}, {"[addresses]\nipv4 = \"10.9.0.0/16\"\n", true}, {"", false}} {
		write(test.text)
		_, errs, code := r.run("", "reload")
		if told := strings.Contains(errs, "[addresses] takes effect when servald is started again"); code != exitOK || told != test.told {
			t.Errorf("reload of %q: %q, code %d", test.text, errs, code)
		}
	}
	echo()
}

// What the configuration says of the node and its gossip counts, unless a flag says more.
func TestStartSections(t *testing.T) {
	r := newReal(t)
	t.Setenv("SERVAL_LISTEN", "")
	gossip, data := freePort(t), freePort(t)
	path := filepath.Join(t.TempDir(), "servald.toml")
	text := "[node]\nlisten = [\"" + data + "\"]\n[gossip]\nlisten = \"" + gossip + "\"\njoin = [\"127.0.0.1:1\"]\nrendezvous = \"none\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := r.run("", "init", "--seed", "127.0.0.1:1"); code != exitOK {
		t.Fatal(errs)
	}
	for _, test := range []struct {
		args         []string
		gossip, data string
	}{
		{nil, gossip, data},
		{[]string{"--gossip", "127.0.0.1:7", "--listen", "127.0.0.9"}, "127.0.0.1:7", "127.0.0.9:0"},
	} {
		a := new(App)
		var flag string
		if test.args != nil {
			flag, a.listen = test.args[1], test.args[3:]
		}
		file, c, err := a.loadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := a.daemonConfig(cmp.Or(flag, c.Gossip.Listen), c.Gossip.Advertise, c.Gossip.Rendezvous)
		if err == nil {
			err = a.addSections(&cfg, file, c)
		}
		if err != nil || cfg.Gossip.String() != test.gossip || len(cfg.Listen) != 1 || cfg.Listen[0].String() != test.data ||
			!cfg.NoRendezvous || len(cfg.Seeds) != 1 || cfg.File != path {
			t.Errorf("%q: %+v, %v", test.args, cfg, err)
		}
	}
	os.WriteFile(path, []byte(strings.Replace(text, "join", "#join", 1)), 0o600) // nobody is there
	if _, errs, code := r.run("", "config", "check", path); code != exitOK {
		t.Fatal(errs)
	}
	t.Setenv("SERVAL_JOIN", gossip) // itself
	if line := r.start("run", "--config", path); !strings.Contains(line, "gossip at "+gossip) {
		t.Errorf("run says %q", line)
	}
}
