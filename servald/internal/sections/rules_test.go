package sections

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// TestRules: rules for names count from the moment they are applied, and not for what is
// open.
func TestRules(t *testing.T) {
	cluster := nodetest.New(t)
	cluster.Echo("svc:shop/cart")
	r := New(Env{Node: cluster.Node()})
	defer r.Stop(config.Duration{})
	path := filepath.Join(t.TempDir(), "cart")
	apply := func(rules string) {
		t.Helper()
		c, err := config.Parse("test.toml", []byte("[[forward]]\nlisten = \"unix:"+path+"\"\nname = \"svc:shop/cart\"\n"+rules))
		if err == nil {
			_, err = r.Apply(c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// dial returns a connection, and whether it leads to the service.
	dial := func() (net.Conn, *bufio.Reader, bool) {
		t.Helper()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		lines := bufio.NewReader(c)
		_, err = lines.ReadString('\n')
		return c, lines, err == nil
	}
	apply("")
	open, lines, ok := dial()
	if !ok {
		t.Fatal("it is not connected")
	}
	for _, test := range []struct {
		rules string
		want  bool
	}{
		{"[[name]]\nmatch = \"svc:shop/*\"\ndeny = true\n", false},
		{"[[name]]\nmatch = \"svc:shop/cart\"\npolicy = \"failover\"\n[[name]]\nmatch = \"svc:*\"\ndeny = true\n", true},
		{"[clients]\ndeny_others = true\n", false},
		{"[clients]\ndeny_others = true\n[[name]]\nmatch = \"svc:shop/*\"\n", true},
		{"", true},
	} {
		apply(test.rules)
		if _, _, ok := dial(); ok != test.want {
			t.Errorf("%q: connected %v, want %v", strings.ReplaceAll(test.rules, "\n", " "), ok, test.want)
		}
		io.WriteString(open, "hello\n")
		if got, err := lines.ReadString('\n'); got != "hello\n" {
			t.Fatalf("what was open before: %q, %v", got, err)
		}
	}
}
