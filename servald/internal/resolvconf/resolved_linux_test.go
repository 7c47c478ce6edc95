package resolvconf

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	// resolvedRoot names the directory where systemd-resolved is installed, if that
	// is not "/".
	resolvedRoot = "SERVAL_TEST_RESOLVED"

	resolvedInside = "SERVAL_TEST_RESOLVED_INSIDE" // set where it runs
)

// The real systemd-resolved sends us what is below svc.serval, and nothing else, and
// forgets us when we end, or are killed.
func TestRealResolved(t *testing.T) {
	if os.Getenv(resolvedInside) != "" {
		t.Run("inside", inResolved)
		return
	}
	root := os.Getenv(resolvedRoot)
	if root == "" {
		root = "/"
	}
	if _, err := os.Stat(root + "/lib/systemd/systemd-resolved"); err != nil {
		t.Skip("systemd-resolved is not installed; ", resolvedRoot, " can name the directory where it was unpacked")
	}
	for _, command := range []string{"dbus-daemon", "unshare"} {
		if _, err := exec.LookPath(command); err != nil || os.Geteuid() != 0 {
			t.Skip("needs root, dbus-daemon and unshare")
		}
	}
	cmd := exec.Command("unshare", "-m", "-n", "-p", "-f", "--kill-child", "--mount-proc", "sh", "testdata/with-resolved.sh", root,
		os.Args[0], "-test.run=^TestRealResolved$", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), resolvedInside+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestRealResolved/inside") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func inResolved(t *testing.T) {
	asked := make(chan string, 1000)
	at := netip.MustParseAddrPort("127.0.0.64:53")
	pc, err := net.ListenPacket("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		asked <- m.Question[0].Name
		resp := new(dns.Msg).SetReply(m)
		if m.Question[0].Qtype == dns.TypeA {
			resp.Answer = append(resp.Answer, &dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(198, 18, 0, 9)})
		}
		w.WriteMsg(resp)
	})}
	go srv.ActivateAndServe()

	find := func(name string) string {
		c := &dns.Client{Timeout: 5 * time.Second}
		resp, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), "127.0.0.53:53")
		if err != nil {
			return err.Error()
		}
		if len(resp.Answer) != 1 {
			return dns.RcodeToString[resp.Rcode]
		}
		return resp.Answer[0].(*dns.A).A.String()
	}
	if got := find("web.svc.serval."); got == "198.18.0.9" {
		t.Fatal("we are asked before")
	}
	s, err := Set(t.Context(), Config{Server: at}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Mode() != Resolved || !slices.Equal(s.Servers(), []string{"127.0.0.53"}) {
		t.Errorf("the mode is %s, other names are for %v", s.Mode(), s.Servers())
	}
	if got := find("web.svc.serval."); got != "198.18.0.9" {
		t.Errorf("then it is %s", got)
	}
	for len(asked) > 0 {
		<-asked
	}
	find("www.example.com.")
	for len(asked) > 0 {
		if name := <-asked; !strings.HasSuffix(name, ".svc.serval.") {
			t.Errorf("we are asked for %s", name)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := find("db.svc.serval."); got == "198.18.0.9" {
		t.Error("we are asked when all is over")
	}
	if out, err := resolvectl(t.Context(), "dns"); err != nil || strings.Contains(out, "127.0.0.64") {
		t.Errorf("it still knows us: %s, %v", out, err)
	}

	// Kill -9.
	helper := exec.Command(os.Args[0], "-test.run=^TestSetAndWait$")
	helper.Env = append(os.Environ(), setAndWait+"=1")
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	defer helper.Process.Kill()
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "ready\n" {
		t.Fatalf("it does not start: %q, %v", said, err)
	}
	if got := find("other.svc.serval."); got != "198.18.0.9" {
		t.Errorf("set up by another process, it is %s", got)
	}
	helper.Process.Kill()
	helper.Wait()
	if _, err := net.InterfaceByName(ownLink); err == nil {
		t.Error("the interface is left behind")
	}
	if got := find("more.svc.serval."); got == "198.18.0.9" {
		t.Error("we are asked after a kill")
	}
}

const setAndWait = "RESOLVCONF_TEST_WAIT"

// TestSetAndWait is the process that is killed.
func TestSetAndWait(t *testing.T) {
	if os.Getenv(setAndWait) == "" {
		t.Skip("only for TestRealResolved")
	}
	if _, err := Set(t.Context(), Config{Server: netip.MustParseAddrPort("127.0.0.64:53")}, nil); err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	time.Sleep(time.Minute)
}
