package expose

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// TestHAProxyLearnsWhoCalls: those who defined the protocol read the service's host
// name and the connection out of the TLVs.
func TestHAProxyLearnsWhoCalls(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed")
	}
	ln := conntest.Listen(t)
	addr := ln.Addr().String()
	ln.Close()
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	conf := fmt.Sprintf(`defaults
	mode http
	timeout client 20s
	timeout connect 20s
	timeout server 20s
frontend web
	bind %s accept-proxy
	http-request return status 200 content-type text/plain lf-string "%%[src] %%[fc_pp_authority] %%[fc_pp_unique_id]"
`, addr)
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(haproxy, "-c", "-f", path).CombinedOutput(); err != nil {
		t.Skipf("this haproxy cannot do it: %s", out)
	}
	w := newWorld(t)
	w.serve(&Server{Config: Config{Name: "svc:shop/web", To: addr, OnDemand: true, Command: []string{haproxy, "-db", "-f", path}, Proxy: ProxyV2}})
	c := w.dial("tcp", "svc:shop/web", 80)
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n := 0
	for err == nil && n < len(buf) {
		var m int
		m, err = c.Read(buf[n:])
		n += m
	}
	_, said, _ := strings.Cut(string(buf[:n]), "\r\n\r\n")
	words := strings.Fields(said)
	if len(words) != 3 || words[0] != "127.0.0.1" || words[1] != "web.shop.svc.serval" || len(words[2]) < 8 {
		t.Errorf("haproxy says %q", said)
	}
}
