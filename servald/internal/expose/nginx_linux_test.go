package expose

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// TestNginxLearnsWhoCalls: a program that others wrote reads the addresses that stand
// for the node that the handshake has verified, and for the service.
func TestNginxLearnsWhoCalls(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	dir := t.TempDir()
	ln := conntest.Listen(t)
	addr := ln.Addr().String()
	ln.Close()
	conf := fmt.Sprintf(`daemon off; master_process off; error_log stderr; pid %[1]s/pid;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server {
		listen %[2]s proxy_protocol;
		return 200 "$proxy_protocol_addr $proxy_protocol_server_addr $proxy_protocol_server_port";
	}
}
`, dir, addr)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(nginx, "-t", "-c", path, "-p", dir).CombinedOutput(); err != nil {
		t.Skipf("this nginx cannot do it: %s", out)
	}
	w := newWorld(t)
	// It is started on demand, as one would do with any server.
	w.serve(&Server{Config: Config{Name: "svc:shop/web", To: addr, OnDemand: true, Command: []string{nginx, "-c", path, "-p", dir}, Proxy: ProxyV2, ProxyAddress: AddressVirtual}})
	answer, err := w.ask("svc:shop/web", 80, "GET / HTTP/1.0\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%v %v 80", virtual(w.client.ID()), vaddr.IPv6(sal.MustParseName("svc:shop/web")))
	if !strings.HasSuffix(answer, "\r\n\r\n"+want) {
		t.Errorf("nginx says %q, want %q", answer, want)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
	} else {
		t.Errorf("it is not there any more: %v", err)
	}
}
