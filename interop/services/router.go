//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/pkg/servicetable"
)

// forwarders are what pkg/serval's BenchmarkForward calls the systems.
var forwarders = map[string]string{"serval": "router", "udp": "plain", "udp-gathered": "gathered"}

// What it prints: how many arrived in a second, which the load's core limits too,
// and how many the forwarder's core would have forwarded in one.
var perSecond = regexp.MustCompile(`(\d+) SYN/core-s\s+(\d+) SYN/s`)

// firstPackets runs BenchmarkForward, which has processes of its own for router
// and load, each on one core.
func (b plan) firstPackets(ctx context.Context, system string) (map[string]float64, error) {
	program := filepath.Join(os.TempDir(), fmt.Sprintf("forward-%d.test", os.Getpid()))
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "./pkg/serval")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the benchmark (run from the repository's root): %w\n%s", err, out)
	}
	defer os.Remove(program)
	got := make(map[string]float64)
	for row, load := range map[string]string{"first-packets": "sources", "first-packets-train": "trains"} {
		run := exec.CommandContext(ctx, program, "-test.run=^$", "-test.benchtime=3x",
			"-test.bench=^BenchmarkForward$/^"+load+"$/^"+forwarders[system]+"$")
		run.Dir = "pkg/serval"
		out, err := run.CombinedOutput()
		found := perSecond.FindSubmatch(out)
		if err != nil || found == nil {
			return nil, fmt.Errorf("BenchmarkForward: %w\n%s", err, out)
		}
		for i, name := range []string{row + "-per-core-s", row + "-per-s"} {
			if got[name], err = strconv.ParseFloat(string(found[i+1]), 64); err != nil {
				return nil, err
			}
		}
	}
	return got, nil
}

// dialRounds is how many dials of each kind are compared.
const dialRounds = 300

// routerDials dials through a router and directly, in turn, over loopback: what is
// added is the router's own time. All nodes are in this process.
func (b plan) routerDials(ctx context.Context, _ string) (map[string]float64, error) {
	if err := cluster.Share(); err != nil {
		return nil, err
	}
	server, err := start(serval.Config{})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	ln, err := server.Listen(service)
	if err != nil {
		return nil, err
	}
	go discard(ln)
	router, err := start(serval.Config{Forward: true})
	if err != nil {
		return nil, err
	}
	defer router.Close()
	if _, err := router.AddRule(serval.Rule{Service: service, Action: servicetable.Forward, Next: server.book.Addrs()}); err != nil {
		return nil, err
	}
	through, err := router.Listen("svc:router") // makes its address known
	if err != nil {
		return nil, err
	}
	defer through.Close()
	var took [2][]time.Duration
	for way, at := range [][]netip.AddrPort{server.book.Addrs(), router.book.Addrs()} {
		client, err := start(serval.Config{Resolver: resolver.NewStatic(resolver.Instance{Service: sal.MustParseName(service), Addrs: at})})
		if err != nil {
			return nil, err
		}
		defer client.Close()
		for range dialRounds {
			begin := time.Now()
			c, err := client.DialContext(ctx, "tcp", service)
			if err != nil {
				return nil, err
			}
			took[way] = append(took[way], time.Since(begin))
			c.Close()
		}
		slices.Sort(took[way])
	}
	median := func(way int) float64 { return took[way][dialRounds/2].Seconds() * 1000 }
	return map[string]float64{"router-dial-ms": median(1), "router-dial-extra-ms": median(1) - median(0)}, nil
}

// member is a node on the loopback interface whose address is known.
type member struct {
	*serval.Node
	book *cluster.AddrBook
}

func start(cfg serval.Config) (*member, error) {
	m := &member{book: new(cluster.AddrBook)}
	var err error
	if cfg.Identity, err = cluster.Member(); err != nil {
		return nil, err
	}
	cfg.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	cfg.Registrar = m.book
	m.Node, err = serval.NewNode(cfg)
	return m, err
}

// discard accepts connections and waits for their ends.
func discard(ln *serval.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(io.Discard, c)
			c.Close()
		}()
	}
}
