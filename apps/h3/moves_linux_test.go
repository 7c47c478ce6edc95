package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// The environment of the processes that TestMoves starts.
const (
	roleVariable  = "H3_TEST_ROLE"
	tokenVariable = "H3_TEST_TOKEN"
	placeVariable = "H3_TEST_PLACE" // the server's directory, or its address for the client
)

// TestMain lets the test binary be the server and the client.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "server":
		err = beServer()
	case "client":
		err = beClient()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func member() (*identity.Identity, error) {
	token, err := identity.ParseToken(os.Getenv(tokenVariable))
	if err != nil {
		return nil, err
	}
	return token.Join(identity.Member{}, time.Now())
}

// announcer is a registrar that prints where the server is.
type announcer struct{}

func (announcer) Register(_ context.Context, r resolver.Registration) (resolver.Lease, error) {
	fmt.Println(r.Addrs[0])
	return announcer{}, nil
}

func (announcer) Close(context.Context) error { return nil }

// beServer serves a directory until its input ends.
func beServer() error {
	id, err := member()
	if err != nil {
		return err
	}
	node, err := serval.NewNode(serval.Config{Identity: id, Registrar: announcer{}})
	if err != nil {
		return err
	}
	defer node.Close()
	pc, err := node.ListenPacket("svc:files")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return serve(ctx, pc, os.Getenv(placeVariable))
}

// beClient fetches the file and prints its hash.
func beClient() error {
	id, err := member()
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(os.Getenv(placeVariable))
	if err != nil {
		return err
	}
	files := resolver.Instance{Service: sal.MustParseName("svc:files"), Addrs: []netip.AddrPort{at}}
	node, err := serval.NewNode(serval.Config{Identity: id, Resolver: resolver.NewStatic(files)})
	if err != nil {
		return err
	}
	defer node.Close()
	sum := sha256.New()
	if err := get(context.Background(), node, sum, os.Stderr, "svc:files", "f"); err != nil {
		return err
	}
	fmt.Printf("%x\n", sum.Sum(nil))
	return nil
}

// network is a client and a server, each at two paths of 50 Mbit/s.
func network(t *testing.T) *lab.Paths {
	t.Helper()
	path := lab.Path{RTT: 20 * time.Millisecond, Rate: 50e6, Queue: 50 * time.Millisecond}
	p, err := lab.NewPaths(lab.Topology{Paths: []lab.Path{path, path}, Joined: true})
	if errors.Is(err, lab.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestMoves is a download by HTTP/3 between two processes on two hosts. While it
// runs, the interface that it uses goes away, then the other one, and addresses
// change at both ends.
func TestMoves(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 seconds")
	}
	token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	net := network(t)
	dir, body := content(t, 24<<20)
	process := func(h *lab.Host, role, place string) (out *bufio.Scanner, log *bytes.Buffer, wait func() error) {
		cmd := h.Command(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"="+role, tokenVariable+"="+token.String(), placeVariable+"="+place)
		log = new(bytes.Buffer)
		cmd.Stderr = log
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Start(cmd); err != nil {
			t.Fatal(err)
		}
		return bufio.NewScanner(stdout), log, func() error { stdin.Close(); return cmd.Wait() }
	}
	addr, serverLog, stopServer := process(net.Server, "server", dir)
	if !addr.Scan() {
		t.Fatalf("the server does not start: %v, %s", stopServer(), serverLog)
	}
	result, log, waitClient := process(net.Client, "client", addr.Text())
	a, b := net.Ways[0], net.Ways[1]
	done := make(chan error, 1)
	go func() {
		for _, step := range []func() error{
			a.Client.LinkDown,
			func() error { return errors.Join(a.Client.LinkUp(), b.Client.LinkDown()) },
			func() error { return errors.Join(b.Client.LinkUp(), a.Server.LinkDown()) },
			func() error { return a.Client.AddrSwap(false) },
		} {
			time.Sleep(600 * time.Millisecond)
			if err := step(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	got := result.Scan()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	default:
		t.Error("the download was over before the network had changed: it says nothing")
		<-done
	}
	if err := waitClient(); err != nil || !got {
		t.Fatalf("the client ended with %v: %s", err, log)
	}
	t.Logf("%s", log)
	if want := fmt.Sprintf("%x", sha256.Sum256(body)); result.Text() != want {
		t.Errorf("other bytes arrived: %s, not %s", result.Text(), want)
	}
	if !strings.Contains(log.String(), serval.FlowMoved.String()) {
		t.Error("no flow has moved: the network did not change below the download")
	}
	if err := stopServer(); err != nil {
		t.Errorf("the server ended with %v: %s", err, serverLog)
	}
}
