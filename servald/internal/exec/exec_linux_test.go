package exec

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// runner starts programs as root or as a user.
type runner struct {
	self string // this executable, where all may read it
	user bool
}

// eachUser runs a test as root, who needs no user namespace, and as a user.
func eachUser(t *testing.T, test func(t *testing.T, r runner)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "exec")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	self := filepath.Join(dir, "servald")
	must(t, copyFile(self, "/proc/self/exe"))
	if os.Geteuid() == 0 {
		t.Run("root", func(t *testing.T) { test(t, runner{self, false}) })
		if testing.Short() {
			return // what differs for a user is not this process's
		}
	}
	t.Run("user", func(t *testing.T) {
		r := runner{self, true}
		if out, err := r.command("true").CombinedOutput(); err != nil {
			t.Skipf("users can make no namespaces here: %s", out)
		}
		test(t, r)
	})
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// command returns an execution in a process group of its own, as shells start it.
func (r runner) command(args ...string) *osexec.Cmd {
	cmd := osexec.Command(r.self, append([]string{asFront}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if r.user && os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	cmd.Dir = filepath.Dir(r.self)
	return cmd
}

// output runs a program to its end, within a minute.
func (r runner) output(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	return output(t, r.command(args...))
}

func output(t *testing.T, cmd *osexec.Cmd) (out string, code int) {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	b, _ := cmd.CombinedOutput()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	code = status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	return string(b), code
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestExitCodes(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		for _, c := range []struct {
			command string
			code    int
		}{
			{"true", 0}, {"exit 7", 7}, {"exit 255", 255},
			{"kill -TERM $$", 128 + 15}, {"kill -KILL $$", 128 + 9}, {"kill -SEGV $$", 128 + 11}, {"kill -QUIT $$", 128 + 3}, {"kill -PIPE $$", 128 + 13},
		} {
			if out, code := r.output(t, "sh", "-c", c.command); code != c.code || out != "" {
				t.Errorf("%q: code %d, %q; want %d", c.command, code, out, c.code)
			}
		}
		if out, code := r.output(t, "no-such-program"); code != CodeNotFound || !strings.Contains(out, "no-such-program") {
			t.Errorf("a program that is not there: code %d, %q", code, out)
		}
		if out, code := r.output(t, "/etc/passwd"); code != CodeNotExecutable || !strings.Contains(out, "permission denied") {
			t.Errorf("a file that is no program: code %d, %q", code, out)
		}
		text := filepath.Join(filepath.Dir(r.self), "text")
		must(t, os.WriteFile(text, []byte("no program"), 0o755))
		if out, code := r.output(t, text); code != CodeNotExecutable || !strings.Contains(out, "exec format error") {
			t.Errorf("a text: code %d, %q", code, out)
		}
		cmd := r.command("true")
		cmd.Env = append(os.Environ(), "EXEC_TEST_FAIL=1")
		if out, code := output(t, cmd); code != CodeFailed || !strings.Contains(out, "no cluster here") {
			t.Errorf("a carrier that fails: code %d, %q", code, out)
		}
	})
}

func TestPassedThrough(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		file, err := os.CreateTemp("", "exec")
		must(t, err)
		defer os.Remove(file.Name())
		defer file.Close()
		file.WriteString("from a file\n")
		file.Seek(0, io.SeekStart)
		read, write, err := os.Pipe()
		must(t, err)
		defer read.Close()

		cmd := r.command("sh", "-c", `echo "$GREETING $1"; pwd; id -u; cat; cat <&3; echo to a pipe >&4; umask; grep -c . /proc/self/environ; echo err >&2`, "sh", "a  b")
		cmd.Env = []string{"GREETING=hello", "PATH=" + os.Getenv("PATH")}
		cmd.Stdin = strings.NewReader("input\n")
		cmd.ExtraFiles = []*os.File{file, write}
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		must(t, err)
		write.Close()
		uid := os.Geteuid()
		if r.user && uid == 0 {
			uid = 65534
		}
		want := fmt.Sprintf("hello a  b\n%s\n%d\ninput\nfrom a file\n", cmd.Dir, uid)
		if !strings.HasPrefix(string(out), want) {
			t.Errorf("got %q, want %q", out, want)
		}
		if errs.String() != "err\n" {
			t.Errorf("standard error: %q", errs.String())
		}
		if b, _ := io.ReadAll(read); string(b) != "to a pipe\n" {
			t.Errorf("inherited pipe: %q", b)
		}
	})
}

// TestSockets: sockets from systemd are for the program, which is not the process that
// systemd has started.
func TestSockets(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		cmd := r.command("sh", "-c", `test "$LISTEN_PID" = $$ && echo "mine $1"`, "sh", "a  b")
		cmd.Args = append([]string{"sh", "-c", `export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		if out, code := output(t, cmd); out != "mine a  b\n" || code != 0 {
			t.Errorf("%q, code %d", out, code)
		}
	})
}

// TestClosed has a program that closes its output: who reads it sees the end at once.
func TestClosed(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		cmd := r.command("sh", "-c", "exec >&-; read x")
		stdin, err := cmd.StdinPipe()
		must(t, err)
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		if b, err := io.ReadAll(stdout); err != nil || len(b) > 0 {
			t.Errorf("%q, %v", b, err)
		}
		stdin.Close()
		cmd.Wait()
	})
}

func TestPrivileges(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		direct := osexec.Command("grep", "Cap[PE]", "/proc/self/status")
		direct.SysProcAttr = r.command("true").SysProcAttr
		want, err := direct.Output()
		must(t, err)
		if got, _ := r.output(t, "grep", "Cap[PE]", "/proc/self/status"); got != string(want) {
			t.Errorf("the program has\n%swant, as without,\n%s", got, want)
		}
	})
}

// sourcePort is what differs each time.
var sourcePort = regexp.MustCompile(`192\.0\.0\.2:\d+`)

func TestNetwork(t *testing.T) {
	host := outsideAddr(t)
	tcp := echoTCP(t, host+":0")
	udp := echoUDP(t, host+":0")
	eachUser(t, func(t *testing.T, r runner) {
		for _, c := range []struct{ network, address, want string }{
			{"tcp", "service.test:80", "port 80: hello"},
			{"tcp", "198.18.0.9:4711", "port 4711: hello"},
			{"tcp", "service.test:1", "error: dial tcp 198.18.0.9:1: connect: connection refused"},
			{"tcp", tcp, "hello"},
			{"udp", udp, "hello"},
			{"tcp", host + ":1", "error: dial tcp " + host + ":1: connect: connection refused"},
			{"udp", host + ":1", "error: read udp 192.0.0.2:PORT->" + host + ":1: read: connection refused"},
		} {
			if out, _ := r.output(t, r.self, asProgram, "ask", c.network, c.address, "hello"); sourcePort.ReplaceAllString(out, "192.0.0.2:PORT") != c.want+"\n" {
				t.Errorf("%s %s: %q, want %q", c.network, c.address, out, c.want)
			}
		}
		if out, _ := r.output(t, r.self, asProgram, "ask", "tcp", "nobody.test:80", "hello"); !strings.Contains(out, "no such host") {
			t.Errorf("a name that is not there: %q", out)
		}
		if out, _ := r.output(t, "cat", "/etc/resolv.conf"); !strings.HasPrefix(out, "nameserver 198.18.0.1\n") {
			t.Errorf("resolv.conf: %q", out)
		}
	})
}

func outsideAddr(t *testing.T) string {
	addrs, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range addrs {
		if ip, _, err := net.ParseCIDR(a.String()); err == nil && ip.To4() != nil && !ip.IsLoopback() {
			return ip.String()
		}
	}
	t.Skip("this host has no IPv4 address but loopback")
	return ""
}

// echoTCP listens until the end of the test.
func echoTCP(t *testing.T, at string) string {
	ln, err := net.Listen("tcp", at)
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	go conntest.Echo(ln)
	return ln.Addr().String()
}

func echoUDP(t *testing.T, at string) string {
	c, err := net.ListenPacket("udp", at)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	go conntest.EchoPackets(c)
	return c.LocalAddr().String()
}

// TestLocalhost: what listens on loopback is there on both sides.
func TestLocalhost(t *testing.T) {
	var servers []string
	for _, at := range []string{"127.0.0.1:0", "127.0.0.7:0", "[::1]:0", ":0"} {
		addr := echoTCP(t, at)
		if host, port, _ := net.SplitHostPort(addr); host == "::" {
			servers = append(servers, "127.0.0.1:"+port, "[::1]:"+port)
			continue
		}
		servers = append(servers, addr)
	}
	udp := echoUDP(t, "127.0.0.1:9753")
	eachUser(t, func(t *testing.T, r runner) {
		for _, addr := range servers {
			if out, _ := r.output(t, r.self, asProgram, "ask", "tcp", addr, "hello"); out != "hello\n" {
				t.Errorf("from inside, tcp %s: %q", addr, out)
			}
		}
		if out, _ := r.output(t, r.self, asProgram, "ask", "udp", udp, "hello"); out != "hello\n" {
			t.Errorf("from inside, udp %s: %q", udp, out)
		}
		for _, c := range [][]string{{"tcp", "127.0.0.1:9754"}, {"tcp", ":9755"}, {"udp", "127.0.0.1:9756"}} {
			program := r.start(t, r.self, asProgram, "listen", c[0], c[1])
			program.expect("listening")
			program.ask(c[0], "localhost:"+c[1][strings.LastIndex(c[1], ":")+1:])
			program.expect("ping")
			program.end(0)
		}
	})
}

// ask sends "ping" until it gets "pong", as it takes a moment until a port is there.
func (p *running) ask(network, addr string) {
	p.t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var c net.Conn
		if c, err = net.Dial(network, addr); err != nil {
			continue
		}
		c.SetDeadline(time.Now().Add(time.Second))
		c.Write([]byte("ping\n"))
		buf := make([]byte, 100)
		var n int
		n, err = c.Read(buf)
		if err == nil && network == "udp" {
			c.Write([]byte(gone))
		}
		c.Close()
		if err == nil && string(buf[:n]) == "pong" {
			return
		}
	}
	p.t.Fatalf("from outside, %s %s: %v", network, addr, err)
}

// running is an execution that goes on.
type running struct {
	t     *testing.T
	cmd   *osexec.Cmd
	lines chan string
}

// start starts a program, whose output is read line by line.
func (r runner) start(t *testing.T, args ...string) *running {
	t.Helper()
	p := &running{t: t, cmd: r.command(args...), lines: make(chan string, 1000)}
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	p.cmd.Stderr = os.Stderr
	must(t, p.cmd.Start())
	t.Cleanup(func() { p.cmd.Process.Kill() })
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p
}

// expect waits for a line that contains text, and returns it.
func (p *running) expect(text string) string {
	p.t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the program ended without %q", text)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-late:
			p.t.Fatalf("no %q came", text)
		}
	}
}

// end waits for the program's end.
func (p *running) end(code int) {
	p.t.Helper()
	for range p.lines {
	}
	p.cmd.Wait()
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	got := status.ExitStatus()
	if status.Signaled() {
		got = 128 + int(status.Signal())
	}
	if got != code {
		p.t.Errorf("ended with %d, want %d", got, code)
	}
}
