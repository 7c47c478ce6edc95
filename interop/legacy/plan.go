//go:build linux

package main

import (
	"time"

	"github.com/serval-net/serval/interop/bench/score"
	"github.com/serval-net/serval/interop/internal/suite"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// plan is how long and how often is measured.
type plan struct {
	runs     int
	bulk     time.Duration // of one stream
	trips    time.Duration // of requests one after the other
	requests int           // to redis
	web      time.Duration // of one load of HTTP
	conns    int           // open at once
	slow     int           // of them whose client does not read
	watch    time.Duration // after each change of the network, with programs
}

var (
	fullPlan  = plan{runs: 3, bulk: 8 * time.Second, trips: 3 * time.Second, requests: 400_000, web: 5 * time.Second, conns: 10_000, slow: 200, watch: 2 * time.Second}
	quickPlan = plan{runs: 1, bulk: 3 * time.Second, trips: time.Second, requests: 100_000, web: 2 * time.Second, conns: 10_000, slow: 50, watch: time.Second}
)

// The systems.
const (
	servald = "servald" // the program, through servald at both ends
	native  = "native"  // the same program, over TCP
	serval  = "serval"  // servald perf
	haproxy = "haproxy" // the same program, through HAProxy on both hosts
)

// all is the systems, in the order of the table.
var all = []string{servald, native, serval, haproxy}

// cases returns everything the benchmark measures.
func (p plan) cases() []suite.Case {
	both, three := []string{servald, native}, []string{servald, native, serval}
	proxies := []string{servald, native, haproxy}
	return []suite.Case{
		{Rows: bulkRows(""), Systems: three, Run: p.bulkOver(stage.NewCable, "")},
		{Rows: bulkRows("-lo"), Systems: three, Run: p.bulkOver(stage.NewLoopback, "-lo")},
		{Rows: []suite.Row{
			{Name: "added-latency-us", Unit: "us"}, {Name: "added-latency-tun-us", Unit: "us"},
			{Name: "request-us", Unit: "us"}, {Name: "request-tun-us", Unit: "us"},
			{Name: "request-p99-us", Unit: "us"},
		}, Systems: both, Run: p.latency},
		{Rows: []suite.Row{{Name: "redis-rps", Unit: "1/s"}, {Name: "redis-tun-rps", Unit: "1/s"}}, Systems: proxies, Run: p.redis},
		{Rows: []suite.Row{{Name: "wrk-rps", Unit: "1/s"}, {Name: "wrk-tun-rps", Unit: "1/s"}}, Systems: proxies, Run: p.wrk},
		{Rows: []suite.Row{
			{Name: "proxied-conn-bytes", Unit: "B"}, {Name: "proxied-conns", Unit: "1"}, {Name: "proxied-conns-left", Unit: "1"},
		}, Systems: []string{servald}, Run: p.held, Once: true},
		{Rows: []suite.Row{{Name: "slow-reader-bytes", Unit: "B"}}, Systems: []string{servald}, Run: p.slowReaders, Once: true},
		{Rows: []suite.Row{{Name: "beside-greedy-p50-us", Unit: "us"}, {Name: "beside-greedy-p99-us", Unit: "us"}}, Systems: both, Run: p.besideGreedy, Once: true},
		{Rows: []suite.Row{
			{Name: "programs-passed", Unit: "1"}, {Name: "programs-run", Unit: "1"},
			{Name: "programs-survived", Unit: "1"}, {Name: "programs-lasting", Unit: "1"},
		}, Systems: []string{servald}, Run: p.programs, Once: true},
	}
}

// targets is what the project wants to reach.
var targets = []score.Target{
	{Row: "tun-bulk", System: servald, Peer: serval, Must: 0.7, Aim: 1},
	{Row: "tun-bulk-lo", System: servald, Peer: serval, Must: 0.7, Aim: 1},
	{Row: "forward-bulk", System: servald, Peer: serval, Must: 0.7, Aim: 1},
	{Row: "forward-bulk-lo", System: servald, Peer: serval, Must: 0.7, Aim: 1},
	{Row: "added-latency-us", System: servald, Must: 150, Aim: 150, LowerWins: true},
	{Row: "added-latency-tun-us", System: servald, Must: 150, Aim: 150, LowerWins: true},
	{Row: "redis-rps", System: servald, Peer: native, Must: 0.5, Aim: 1},
	{Row: "redis-tun-rps", System: servald, Peer: native, Must: 0.5, Aim: 1},
	{Row: "wrk-rps", System: servald, Peer: native, Must: 0.5, Aim: 1},
	{Row: "wrk-tun-rps", System: servald, Peer: native, Must: 0.5, Aim: 1},
	{Row: "proxied-conn-bytes", System: servald, Must: 100e3, Aim: 100e3, LowerWins: true},
	{Row: "proxied-conns", System: servald, Must: 10_000, Aim: 10_000},
	{Row: "proxied-conns-left", System: servald, Must: 0, Aim: 0, LowerWins: true},
}
