package expose

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// actAs is the variable that makes the test program a server that is started on
// demand.
const actAs = "EXPOSE_TEST_SERVER"

func TestMain(m *testing.M) {
	if as := os.Getenv(actAs); as != "" {
		server(as)
	}
	os.Exit(nodetest.Main(m))
}

// server is a TCP or UDP echo that is slow to start, and notes in a file when it does
// and that it ended as it should.
func server(as string) {
	kind, rest, _ := strings.Cut(as, ",")
	addr, notes, _ := strings.Cut(rest, ",")
	note := func(line string) {
		f, err := os.OpenFile(notes, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			os.Exit(3)
		}
		fmt.Fprintln(f, line)
		f.Close()
	}
	if kind == "parent" {
		parent(addr, notes)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	note("started")
	if kind == "fails" {
		os.Exit(1)
	}
	time.Sleep(100 * time.Millisecond)
	switch kind {
	case "tcp":
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			os.Exit(4)
		}
		go conntest.Echo(ln)
	case "udp":
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			os.Exit(4)
		}
		go conntest.EchoPackets(c)
	case "deaf":
	}
	<-ended
	note("ended")
	os.Exit(0)
}

// parent is a process that has a server on demand, and waits to be killed.
func parent(addr, notes string) {
	c := Config{Name: "svc:x", To: addr, OnDemand: true, Command: []string{os.Args[0]}, Env: []string{fmt.Sprintf("%s=tcp,%s,%s", actAs, addr, notes)}}
	p, err := c.parse()
	if err != nil {
		os.Exit(5)
	}
	d := demand{log: quietLog()}
	if err := d.await(context.Background(), p, func(context.Context) error {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	}); err != nil {
		os.Exit(6)
	}
	fmt.Println("ready")
	select {}
}

// world is a cluster with a client.
type world struct {
	*testing.T
	cluster *nodetest.Cluster
	client  *serval.Node
}

func newWorld(t *testing.T) world {
	c := nodetest.New(t)
	return world{t, c, c.Node()}
}

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// serve runs a Server on a node of its own until the test ends, and waits until it is
// registered. stop ends it and returns what Run did.
func (w world) serve(s *Server) (stop func() error) {
	w.Helper()
	s.Node, s.Log = On(w.cluster.Node()), quietLog()
	ready := make(chan net.Addr, 1)
	s.Ready = func(a net.Addr) { ready <- a }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() error {
		cancel()
		stopped = true
		return <-done
	}
	w.Cleanup(func() {
		if !stopped {
			if err := stop(); err != nil {
				w.Errorf("Run ended with %v", err)
			}
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		w.Fatalf("Run ended with %v", err)
	case <-time.After(20 * time.Second):
		w.Fatal("it is not ready")
	}
	return stop
}

// dial opens a connection to a service, with a port if that is not 0.
func (w world) dial(network, service string, port uint16) *serval.Conn {
	w.Helper()
	d := serval.Dialer{Node: w.client, Port: port}
	c, err := d.DialConn(w.Context(), network, service)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// ask says something on a stream and returns the whole answer.
func (w world) ask(service string, port uint16, text string) (string, error) {
	w.Helper()
	c := w.dial("tcp", service, port)
	defer c.Close()
	io.WriteString(c, text)
	c.CloseWrite()
	b, err := io.ReadAll(c)
	return string(b), err
}

// backend is a server on loopback whose connections handle serves.
func (w world) backend(handle func(c *net.TCPConn)) string {
	ln := conntest.Listen(w)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { handle(c.(*net.TCPConn)); c.Close() }()
		}
	}()
	return ln.Addr().String()
}

// greeter says hello, then echoes.
func greeter(hello string) func(*net.TCPConn) {
	return func(c *net.TCPConn) { io.WriteString(c, hello); io.Copy(c, c) }
}

func portOf(addr string) uint16 {
	var p uint16
	_, port, _ := net.SplitHostPort(addr)
	fmt.Sscan(port, &p)
	return p
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not come to that", what)
		}
	}
}

// lines returns what a file has.
func lines(path string) (list []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		list = append(list, s.Text())
	}
	return list
}
