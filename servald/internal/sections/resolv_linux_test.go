package sections

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/nodetest"
)

const killedVariable = "SECTIONS_TEST_KILLED" // set in the process that is killed

// ownEtc gives this process an /etc that nobody else sees. After inHost only.
func ownEtc(t *testing.T, resolvConf string) {
	t.Helper()
	must(t, unix.Mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755"))
	const dir = "/mnt"
	for _, name := range []string{"hosts", "nsswitch.conf", "services", "passwd", "protocols"} {
		if b, err := os.ReadFile(filepath.Join("/etc", name)); err == nil {
			must(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte(resolvConf), 0o600))
	must(t, unix.Mount(dir, "/etc", "", unix.MS_BIND, "")) // until the namespace ends: nothing may meet the real one
}

// A host's programs find services by resolv.conf. When servald is killed they go on to
// the servers from before, and its next start restores the file, whatever it is
// configured to do.
func TestResolvConfKilled(t *testing.T) {
	if os.Getenv(killedVariable) != "" {
		r := newRunner(t, nodetest.New(t))
		_, err := r.Apply(parse(t, "[dns]\nresolv_conf = \"file\"\n"))
		must(t, err)
		fmt.Println("ready")
		time.Sleep(time.Minute)
		return
	}
	if !inHost(t) {
		return
	}
	up(t)
	const before = "search corp.example\nnameserver 192.0.2.53\n"
	ownEtc(t, before)
	cmd := exec.Command(os.Args[0], "-test.run=^TestResolvConfKilled$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), killedVariable+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Process.Kill()
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "ready\n" {
		t.Fatalf("servald does not start: %q, %v", said, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	host := &net.Resolver{PreferGo: true} // which reads the file
	if addrs, err := host.LookupHost(ctx, "ns.serval"); err != nil || len(addrs) == 0 {
		t.Errorf("programs find %v, %v", addrs, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	now, err := os.ReadFile("/etc/resolv.conf")
	must(t, err)
	if text := string(now); !strings.Contains(text, "nameserver 127.0.0.1\n") || !strings.Contains(text, "nameserver 192.0.2.53\n") {
		t.Errorf("killed, it leaves %s", text)
	}
	r := newRunner(t, nodetest.New(t))
	_, err = r.Apply(parse(t, ""))
	must(t, err)
	if now, err := os.ReadFile("/etc/resolv.conf"); err != nil || string(now) != before {
		t.Errorf("then it is %q, %v", now, err)
	}
	if left, _ := filepath.Glob("/etc/resolv.conf?*"); len(left) > 0 {
		t.Errorf("%v are left behind", left)
	}
}
