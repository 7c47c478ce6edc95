package expose

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// TestServers: a server at a fixed port, at the one that the client says, behind a
// Unix socket, and a command; requests end with a half-close.
func TestServers(t *testing.T) {
	w := newWorld(t)
	a, b := w.backend(greeter("a:")), w.backend(greeter("b:"))
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no Unix sockets here:", err)
	}
	defer ln.Close()
	go conntest.Echo(ln)
	w.serve(&Server{Config: Config{Name: "svc:fixed", To: a}})
	w.serve(&Server{Config: Config{Name: "svc:any", To: "127.0.0.1"}})
	w.serve(&Server{Config: Config{Name: "svc:some", To: "localhost", Ports: []string{strconv.Itoa(int(portOf(a)))}}})
	w.serve(&Server{Config: Config{Name: "svc:unix", To: "unix:" + path}})
	for _, c := range []struct {
		service string
		port    uint16
		want    string // "" is a reset
	}{
		{"svc:fixed", 0, "a:hello"},
		{"svc:fixed", 9, "a:hello"}, // whatever the client says
		{"svc:any", portOf(a), "a:hello"},
		{"svc:any", portOf(b), "b:hello"},
		{"svc:any", 0, ""},
		{"svc:any", 1, ""}, // nobody listens there
		{"svc:some", portOf(a), "a:hello"},
		{"svc:some", portOf(b), ""},
		{"svc:unix", 0, "hello"},
	} {
		got, err := w.ask(c.service, c.port, "hello")
		if got != c.want || (c.want == "") != errors.Is(err, serval.ErrReset) {
			t.Errorf("%s at port %d answers %q, %v; want %q", c.service, c.port, got, err, c.want)
		}
	}
}

// TestRemoteServer: a server on another host, found by its name in DNS, that knows
// nothing of Serval; the neighbour that serves it withdraws the name while it is ill.
func TestRemoteServer(t *testing.T) {
	w := newWorld(t)
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	go conntest.Echo(ln)
	s := &Server{Config: Config{Name: "svc:db", To: net.JoinHostPort("localhost", strconv.Itoa(int(portOf(ln.Addr().String())))),
		Check: "tcp", CheckEvery: 10 * time.Millisecond}}
	w.serve(s)
	if got, err := w.ask("svc:db", 0, "select"); got != "select" || err != nil {
		t.Fatalf("it answers %q, %v", got, err)
	}
	ln.Close()
	eventually(t, "it is ill", func() bool { return s.Status().State == Ill })
	// It says so a moment before it is withdrawn, and that it is well before it is found.
	dial := func() error {
		c, err := w.client.Dial("svc:db")
		if err == nil {
			c.Close()
		}
		return err
	}
	eventually(t, "it is withdrawn", func() bool { return dial() != nil })
	if err := dial(); !errors.Is(err, serval.ErrNoService) && !errors.Is(err, serval.ErrRefused) {
		t.Errorf("a dial of what is ill: %v", err)
	}
	back, err := net.Listen("tcp", ln.Addr().String())
	if err != nil {
		t.Skip("the port is taken:", err)
	}
	defer back.Close()
	go conntest.Echo(back)
	eventually(t, "it is well", func() bool { return s.Status().State == Serving })
	eventually(t, "it is found", func() bool { return dial() == nil })
	if got, err := w.ask("svc:db", 0, "again"); got != "again" || err != nil {
		t.Errorf("it answers %q, %v", got, err)
	}
}

// TestCommandKnowsItsCaller: what a command finds in its environment.
func TestCommandKnowsItsCaller(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of Unix")
	}
	w := newWorld(t)
	w.serve(&Server{Config: Config{Name: "svc:env", Command: []string{"sh", "-c", "env | grep ^SERVAL_; echo EXTRA=$EXTRA; pwd"},
		Env: []string{"EXTRA=more"}, Dir: "/"}})
	got, err := w.ask("svc:env", 7777, "")
	if err != nil {
		t.Fatal(err)
	}
	id := w.client.ID()
	for _, want := range []string{"SERVAL_SERVICE=svc:env", "SERVAL_PORT=7777", "SERVAL_PEER_NODE=" + id.String(), "SERVAL_PEER_NAME=node",
		"SERVAL_PEER_ADDR=127.0.0.1:", "SERVAL_PEER=#" + id.Short(), "SERVAL_PEER_VIRTUAL=" + virtual(id).String(), "SERVAL_CONN=", "EXTRA=more", "\n/\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the environment lacks %s:\n%s", want, got)
		}
	}
}

// TestProxyProtocol: what a server that speaks it learns of the caller, by a parser
// that is not ours.
func TestProxyProtocol(t *testing.T) {
	w := newWorld(t)
	headers := make(chan *proxyproto.Header, 1)
	backend := w.backend(func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		h, err := proxyproto.Read(r)
		if err != nil {
			t.Errorf("the header cannot be read: %v", err)
			return
		}
		headers <- h
		io.Copy(c, r)
	})
	for _, address := range []string{AddressUnderlay, AddressVirtual} {
		service := "svc:pp/" + address
		w.serve(&Server{Config: Config{Name: service, To: backend, Proxy: ProxyV2, ProxyAddress: address}})
		if got, err := w.ask(service, 8443, "hello"); got != "hello" || err != nil {
			t.Fatalf("it answers %q, %v", got, err)
		}
		h := <-headers
		src, dst, ok := h.TCPAddrs()
		if !ok {
			t.Fatalf("the header is %+v", h)
		}
		want := "127.0.0.1"
		if address == AddressVirtual {
			want = virtual(w.client.ID()).String()
			if got := vaddr.IPv6(sal.MustParseName(service)).String(); dst.IP.String() != got {
				t.Errorf("the destination is %v, want %v", dst.IP, got)
			}
		}
		if src.IP.String() != want || src.Port == 0 || dst.Port != 8443 {
			t.Errorf("the header says %v to %v, want from %s", src, dst, want)
		}
		tlvs, err := h.TLVs()
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[proxyproto.PP2Type]string)
		for _, tlv := range tlvs {
			got[tlv.Type] = string(tlv.Value)
		}
		for kind, want := range map[proxyproto.PP2Type]string{TLVService: service, TLVNode: w.client.ID().String(), TLVName: "node",
			proxyproto.PP2_TYPE_AUTHORITY: address + ".pp.svc.serval"} {
			if got[kind] != want {
				t.Errorf("TLV %#x is %q, want %q", byte(kind), got[kind], want)
			}
		}
		if got[proxyproto.PP2_TYPE_UNIQUE_ID] == "" {
			t.Error("the header has no ID of the connection")
		}
	}
}

// TestResets: whoever resets a connection, the other end finds it reset.
func TestResets(t *testing.T) {
	w := newWorld(t)
	accepted := make(chan *net.TCPConn, 1)
	hold := make(chan struct{})
	w.serve(&Server{Config: Config{Name: "svc:r", To: w.backend(func(c *net.TCPConn) { accepted <- c; <-hold })}})
	defer close(hold)
	for _, fromServer := range []bool{true, false} {
		near := w.dial("tcp", "svc:r", 0)
		io.WriteString(near, "x")
		far := <-accepted
		far.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if fromServer {
			io.WriteString(far, "last words")
			far.SetLinger(0)
			eventually(t, "the words have left", func() bool { return near.Stats().StreamReceived == 10 })
			far.Close()
			if b, err := io.ReadAll(near); string(b) != "last words" || !errors.Is(err, serval.ErrReset) {
				t.Errorf("the client reads %q, %v", b, err)
			}
			continue
		}
		near.Abort()
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server reads %v", err)
		}
	}
}

// TestSlowReaderCostsLittle: a server that sends without end is held up when a client
// does not read; what waits for the client is bounded.
func TestSlowReaderCostsLittle(t *testing.T) {
	w := newWorld(t)
	var sent atomic.Int64
	w.serve(&Server{Config: Config{Name: "svc:flood", To: w.backend(func(c *net.TCPConn) {
		b := make([]byte, 64<<10)
		for {
			n, err := c.Write(b)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})}})
	c := w.dial("tcp", "svc:flood", 0)
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	last := int64(-1)
	eventually(t, "it stands still", func() bool {
		time.Sleep(300 * time.Millisecond)
		was := last
		last = sent.Load()
		return was == last
	})
	const bound = 32 << 20 // the kernel's buffers and two windows
	if last > bound {
		t.Errorf("%d bytes wait for a client that does not read, more than %d", last, bound)
	}
	t.Logf("%d bytes wait for a client that does not read", last)
}

// TestLimits: one node gets no more than its share; the others do, and what is idle
// ends.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	s := &Server{Config: Config{Name: "svc:l", To: w.backend(greeter("hi")), MaxPerClient: 2, Idle: 100 * time.Millisecond}}
	w.serve(s)
	hello := func(c net.Conn) error {
		_, err := io.ReadFull(c, make([]byte, 2))
		return err
	}
	a, b := w.dial("tcp", "svc:l", 0), w.dial("tcp", "svc:l", 0)
	if err := errors.Join(hello(a), hello(b)); err != nil {
		t.Fatal(err)
	}
	if err := hello(w.dial("tcp", "svc:l", 0)); !errors.Is(err, serval.ErrReset) {
		t.Errorf("one connection too many: %v", err)
	}
	other := w
	other.client = w.cluster.Node()
	if err := hello(other.dial("tcp", "svc:l", 0)); err != nil {
		t.Errorf("a connection of another node: %v", err)
	}
	if _, err := a.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection goes on")
	}
	eventually(t, "all have ended", func() bool { return s.Status().Connections == 0 })
	if st := s.Status(); st.Total != 4 || st.Failed != 1 {
		t.Errorf("the status is %+v", st)
	}
	if err := hello(w.dial("tcp", "svc:l", 0)); err != nil {
		t.Errorf("a connection after the others ended: %v", err)
	}
}

// TestFullIsRefused: what there is no room for goes elsewhere, or is refused; it does
// not hang.
func TestFullIsRefused(t *testing.T) {
	w := newWorld(t)
	w.serve(&Server{Config: Config{Name: "svc:full", To: w.backend(greeter("a")), Max: 1}})
	first := w.dial("tcp", "svc:full", 0)
	if _, err := io.ReadFull(first, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	w.serve(&Server{Config: Config{Name: "svc:full", To: w.backend(greeter("b"))}})
	eventually(t, "the next go to the other instance", func() bool {
		b := make([]byte, 1)
		c := w.dial("tcp", "svc:full", 0)
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Second))
		_, err := io.ReadFull(c, b)
		return err == nil && b[0] == 'b'
	})
}

// TestUpdate: another server takes the connections to come; those that are open stay,
// and the name does.
func TestUpdate(t *testing.T) {
	w := newWorld(t)
	a, b := w.backend(greeter("a:")), w.backend(greeter("b:"))
	s := &Server{Config: Config{Name: "svc:u", To: a, Drain: time.Minute}}
	stop := w.serve(s)
	old := w.dial("tcp", "svc:u", 0)
	if _, err := io.ReadFull(old, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), Config{Name: "svc:u", To: b, Weight: 7, Check: "tcp", Max: 10, Drain: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.ask("svc:u", 0, "new"); got != "b:new" || err != nil {
		t.Errorf("it answers %q, %v", got, err)
	}
	io.WriteString(old, "old")
	got := make([]byte, 3)
	if _, err := io.ReadFull(old, got); err != nil || string(got) != "old" {
		t.Errorf("the old connection answers %q, %v", got, err)
	}
	for _, c := range []Config{{Name: "svc:other", To: b}, {Name: "svc:u", To: "udp:" + b}} {
		if err := s.Update(t.Context(), c); !errors.Is(err, ErrRestart) {
			t.Errorf("an update to %+v: %v", c, err)
		}
	}
	if err := s.Update(t.Context(), Config{Name: "svc:u"}); err == nil || errors.Is(err, ErrRestart) {
		t.Errorf("an update to nothing: %v", err)
	}
	// It ends when the open connection has.
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	eventually(t, "it is withdrawn", func() bool { return s.Status().State == Ending })
	io.WriteString(old, "end")
	if _, err := io.ReadFull(old, got); err != nil || string(got) != "end" {
		t.Errorf("the old connection answers %q, %v", got, err)
	}
	old.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestStarved: a process without descriptors sends others away.
func TestStarved(t *testing.T) {
	s := &Server{Config: Config{Name: "svc:x", To: ":80"}}
	p, err := s.Config.parse()
	if err != nil {
		t.Fatal(err)
	}
	s.start(p)
	if l := s.load(); l != 0 {
		t.Errorf("the load is %v", l)
	}
	s.noteFailure(&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)})
	if l := s.load(); l < 1 {
		t.Errorf("the load is %v without descriptors", l)
	}
}
