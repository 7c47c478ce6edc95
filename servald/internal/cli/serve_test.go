package cli

import (
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
)

func TestServeMistakes(t *testing.T) {
	n := newNetwork(t)
	for line, want := range map[string]string{
		"serve svc:a --on-demand -- cat":                           "needs the address",
		"serve svc:a --on-demand --to :80":                         "needs a command",
		"serve svc:a --to localhost --on-demand -- cat":            "listens at one port",
		"serve svc:a --to :80 --on-demand --check cmd:true -- cat": "cannot be checked",
		"serve svc:a --to udp:":                                    "not the address of a server",
		"serve svc:a --to udp:localhost:53 --check tcp":            "there is none",
		"serve svc:a --to :80 --ports 80":                          "has one",
		"serve svc:a --to localhost --ports 80-22":                 "range of ports",
		"serve svc:a --to :80 --proxy v1":                          "write v2",
		"serve svc:a --proxy v2 -- cat":                            "from its environment",
		"serve svc:a --to :80 --proxy v2 --proxy-address mine":     "underlay or virtual",
		"serve svc:a --to :80 --max -1":                            "must not be less than 0",
		"serve svc:a --to :80 --udp-idle -1s":                      "must be more than 0",
	} {
		_, errs, code := n.servald("", strings.Fields(line)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: code %d, %q; want %q", line, code, errs, want)
		}
	}
}

// TestServeKinds: what the flags say is what clients find, ports, datagrams and a
// server that is started for them included.
func TestServeKinds(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are those of Unix")
	}
	r := newReal(t)
	known := r.cluster()
	tcp := conntest.Listen(t)
	go conntest.Echo(tcp)
	port := tcp.Addr().(*net.TCPAddr).Port
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	go conntest.EchoPackets(udp)
	if out, _, _ := r.run("", "__complete", "serve", "svc:a", "--proxy-address", ""); !strings.HasPrefix(out, "underlay\nvirtual\n") {
		t.Errorf("completion: %q", out)
	}
	if line := r.start("serve", "svc:host", "--to", "127.0.0.1", "--ports", strconv.Itoa(port)); !strings.Contains(line, "with 127.0.0.1") {
		t.Errorf("serve says %q", line)
	}
	r.start("serve", "svc:udp", "--to", "udp:"+udp.LocalAddr().String())
	r.start("serve", "svc:env", "--", "sh", "-c", "echo $SERVAL_SERVICE $SERVAL_PORT $SERVAL_PEER_NODE")
	for _, name := range []string{"svc:host", "svc:udp", "svc:env"} {
		waitFor(t, known, name, func(in []resolver.Instance) bool { return len(in) == 1 })
	}
	cfg, err := serval.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	client, err := serval.NewNode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	dial := func(network, service string, port int) *serval.Conn {
		t.Helper()
		d := serval.Dialer{Node: client, Port: uint16(port)}
		c, err := d.DialConn(t.Context(), network, service)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		return c
	}
	c := dial("tcp", "svc:host", port)
	defer c.Close()
	io.WriteString(c, "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Errorf("the server of any port answers %q, %v", got, err)
	}
	u := dial("udp", "svc:udp", 53)
	defer u.Close()
	u.Write([]byte("query"))
	if b, port, err := u.ReadMessage(); err != nil || string(b) != "query" || port != 53 {
		t.Errorf("the UDP server answers %q from port %d, %v", b, port, err)
	}
	e := dial("tcp", "svc:env", 7)
	defer e.Close()
	if b, err := io.ReadAll(e); err != nil || string(b) != "svc:env 7 "+client.ID().String()+"\n" {
		t.Errorf("the command knows %q, %v", b, err)
	}
}
