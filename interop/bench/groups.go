//go:build linux

package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/interop/lab"
)

// row is one line of the results.
type row struct {
	name string // of the case
	unit string
	from string // the workload's name for the value; empty: the same as unit
}

// group is one execution that yields one row or several.
type group struct {
	rows    []row
	systems []string
	// site builds the network, kept for all runs; nil where run needs none.
	site func() (*site, error)
	// run measures a system once.
	run func(ctx context.Context, b *bench, s *site, system string) (load.Result, error)
}

// Choice is for suite.Choose.
func (g *group) Choice() (rows []string, systems *[]string) {
	for _, r := range g.rows {
		rows = append(rows, r.name)
	}
	return rows, &g.systems
}

// plan is how long and how often to measure.
type plan struct {
	runs   int
	short  time.Duration // measured time of cases that settle at once
	wan20  [2]time.Duration
	wan100 [2]time.Duration // warm-up and measured time
	share  [2]time.Duration
	idle   int // connections
	rounds int // of gossip

	wanSystems   []string
	soloSystems  []string // where most peers tell little
	shareSystems []string
}

var (
	all     = []string{"serval", "tls", "quic-go", "wireguard-go", "tcp-cubic", "tcp-bbr"}
	wanMain = []string{"serval", "quic-go", "tcp-cubic", "tcp-bbr"}

	fullPlan = plan{
		runs:       3,
		short:      3 * time.Second,
		wan20:      [2]time.Duration{2 * time.Second, 5 * time.Second},
		wan100:     [2]time.Duration{4 * time.Second, 8 * time.Second},
		share:      [2]time.Duration{4 * time.Second, 10 * time.Second},
		idle:       10_000,
		rounds:     20,
		wanSystems: wanMain, soloSystems: []string{"serval", "tls", "quic-go"}, shareSystems: wanMain[:2],
	}
	quickPlan = plan{
		runs:       1,
		short:      time.Second,
		wan20:      [2]time.Duration{800 * time.Millisecond, time.Second},
		wan100:     [2]time.Duration{3 * time.Second, 1400 * time.Millisecond},
		share:      [2]time.Duration{1500 * time.Millisecond, 4 * time.Second},
		idle:       2000,
		rounds:     10,
		wanSystems: wanMain, soloSystems: wanMain[:2], shareSystems: wanMain[:1],
	}
)

// groups returns everything the benchmark measures.
func (p plan) groups() []group {
	const warm = 500 * time.Millisecond
	bulk := func(streams int) load.Spec {
		return load.Spec{Kind: "bulk", Warm: warm, For: p.short, Streams: streams}
	}
	rate := func(name string) row { return row{name: name, unit: "Mbit/s"} }
	dials := func(name string, at int) group {
		return group{
			rows: []row{{name: name, unit: "dials/s"}}, systems: all, site: veth,
			run: client(load.Spec{Kind: "dials", For: p.short, Streams: at}),
		}
	}
	gs := []group{
		{rows: []row{rate("bulk-veth")}, systems: all, site: veth, run: client(bulk(1))},
		{rows: []row{rate("bulk-lo")}, systems: all, site: loopback, run: client(bulk(1))},
		{
			rows:    []row{{"rr-veth-p50", "us", "p50"}, {"rr-veth-p99", "us", "p99"}, {"idle-cpu", "ms/s", "idle-cpu"}},
			systems: all, site: veth,
			run: client(load.Spec{Kind: "rr", Warm: warm / 2, For: p.short}),
		},
		dials("dials-serial", 1),
		dials("dials-16", 16),
		{
			rows:    []row{{"idle-conn-bytes", "B", "bytes"}, {"idle-conn-dials-kept", "ratio", "rate-kept"}},
			systems: p.soloSystems, site: veth,
			run: client(load.Spec{Kind: "idle", Conns: p.idle}),
		},
	}
	for _, n := range []int{8, 64} {
		name := fmt.Sprintf("streams-%d", n)
		gs = append(gs, group{
			rows:    []row{rate(name), {name + "-jain", "ratio", "jain"}},
			systems: p.soloSystems, site: veth, run: client(bulk(n)),
		})
	}
	for _, wan := range []struct {
		rtt   time.Duration
		times [2]time.Duration
	}{{20 * time.Millisecond, p.wan20}, {100 * time.Millisecond, p.wan100}} {
		for _, percent := range []float64{0, 0.1, 1} {
			gs = append(gs, group{
				rows:    []row{rate(fmt.Sprintf("wan-%dms-loss%v", wan.rtt.Milliseconds(), percent))},
				systems: p.wanSystems,
				site:    routed(lab.Path{RTT: wan.rtt, Rate: 1e9, Queue: 50 * time.Millisecond, Loss: percent / 100}),
				run:     client(load.Spec{Kind: "bulk", Warm: wan.times[0], For: wan.times[1]}),
			})
		}
	}
	for _, rival := range []string{"tcp-cubic", "tcp-bbr", "serval"} {
		gs = append(gs, shareGroup(rival, p.shareSystems, p.share))
	}
	return append(gs,
		failoverGroup("dial-after-kill", syscall.SIGKILL),
		failoverGroup("dial-after-stop", syscall.SIGTERM),
		gossipGroup(50, p.rounds),
	)
}

// client returns a run of one workload.
func client(spec load.Spec) func(context.Context, *bench, *site, string) (load.Result, error) {
	return func(ctx context.Context, b *bench, s *site, system string) (load.Result, error) {
		return b.pair(ctx, s, system, spec)
	}
}
