package cli

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// TestKilled kills servald at any moment, also while it starts, with everything that it
// can set up on a host: the next one works, and when that is stopped the host is as it
// was.
func TestKilled(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft of nftables")
	}
	if nodetest.Inside(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS, "-test.timeout=4m") {
		killed(t)
	}
}

const ownResolvConf = "search example.net\nnameserver 192.0.2.53\n"

func killed(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// An /etc of our own, and networks behind which there is nobody.
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount("tmpfs", "/etc", "tmpfs", 0, "mode=755"))
	must(os.WriteFile("/etc/resolv.conf", []byte(ownResolvConf), 0o644))
	lo, err := netlink.LinkByName("lo")
	must(err)
	must(netlink.LinkSetUp(lo))
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "v0"}, PeerName: "v1"}))
	v0, err := netlink.LinkByName("v0")
	must(err)
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	must(err)
	must(netlink.AddrAdd(v0, addr))
	must(netlink.LinkSetUp(v0))
	before := state(t)

	r := newReal(t)
	home, run := os.Getenv("SERVAL_HOME"), filepath.Dir(os.Getenv("SERVAL_SOCKET"))
	echo := conntest.Listen(t)
	go conntest.Echo(echo)
	if _, errs, code := r.run("", "init", "--seed", "127.0.0.1:7946"); code != exitOK {
		t.Fatal(errs)
	}
	path := filepath.Join(run, "servald.toml")
	must(os.WriteFile(path, fmt.Appendf(nil, `
[dns]
resolv_conf = "file"
[tun]
[socks5]
[http_proxy]
[[expose]]
name = "svc:echo"
to = %q
[[forward]]
listen = "127.0.0.1:8080"
name = "svc:echo"
[[forward]]
listen = "unix:%s/echo"
name = "svc:echo"
[[capture]]
mode = "tproxy"
to = ["192.0.2.80/32"]
ports = [80]
name = "svc:echo"
`, echo.Addr(), run), 0o600))

	start := func() (cmd *exec.Cmd, ready <-chan bool) {
		cmd = exec.Command(os.Args[0], "run", "--config", path)
		cmd.Env = append(os.Environ(), asServald+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		said, err := cmd.StderrPipe()
		must(err)
		must(cmd.Start())
		up := make(chan bool, 1)
		go func() {
			for lines := bufio.NewScanner(said); lines.Scan(); {
				t.Log(lines.Text())
				if strings.HasPrefix(lines.Text(), "ready") {
					up <- true
				}
			}
			close(up)
		}()
		return cmd, up
	}
	works := func() {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			out, _, code := r.run("", "status")
			if code == exitOK && !strings.Contains(out, " failed ") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("something does not run: %s", out)
			}
		}
		addrs, err := new(net.Resolver).LookupNetIP(t.Context(), "ip4", "echo.svc.serval")
		if err != nil || len(addrs) != 1 {
			t.Fatalf("the host finds %v, %v", addrs, err)
		}
		for _, to := range []string{"127.0.0.1:8080", "unix:" + run + "/echo", netip.AddrPortFrom(addrs[0].Unmap(), 7).String(), "192.0.2.80:80"} {
			network, at, err := local(to)
			must(err)
			c, err := net.DialTimeout(network, at, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(c, "hello\n")
			if got, err := bufio.NewReader(c).ReadString('\n'); got != "hello\n" {
				t.Errorf("by %s: %q, %v", to, got, err)
			}
			c.Close()
		}
	}
	kill := func(cmd *exec.Cmd) {
		cmd.Process.Kill()
		cmd.Wait()
	}
	cmd, ready := start()
	<-ready
	works()
	kill(cmd)
	for range 6 {
		cmd, _ := start()
		time.Sleep(rand.N(200 * time.Millisecond)) // any moment of the start
		kill(cmd)
	}
	// Sockets that do not listen yet are left to their makers for a minute.
	unready, _ := filepath.Glob(run + "/nodes/*.new")
	for _, path := range unready {
		old := time.Now().Add(-2 * time.Minute)
		must(os.Chtimes(path, old, old))
	}
	cmd, ready = start()
	if !<-ready {
		t.Fatal("it does not start after having been killed")
	}
	works()
	must(cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if after := state(t); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
	for _, pattern := range []string{run + "/s", run + "/nodes/*", run + "/echo", home + "/*.new", "/etc/*servald*"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// state is what servald may change of a host.
func state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		fmt.Fprintln(&b, l.Attrs().Name)
	}
	rules, err := netlink.RuleList(unix.AF_UNSPEC)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		fmt.Fprintln(&b, r)
	}
	routes, err := netlink.RouteListFiltered(unix.AF_UNSPEC, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Table != unix.RT_TABLE_LOCAL && r.Table != unix.RT_TABLE_MAIN {
			fmt.Fprintln(&b, r)
		}
	}
	tables, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	text, rerr := os.ReadFile("/etc/resolv.conf")
	fmt.Fprintln(&b, string(tables), err, string(text), rerr)
	return b.String()
}
