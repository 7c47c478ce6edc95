//go:build linux

package main

import (
	"time"

	"github.com/serval-net/serval/interop/bench/score"
	"github.com/serval-net/serval/interop/internal/suite"
)

// plan is how long and how often is measured.
type plan struct {
	runs    int
	restart time.Duration // of the load during a rolling restart
	kill    time.Duration // of the load around a crash
	web     time.Duration // of one load of requests
	lookups time.Duration
	fault   time.Duration // of the load around a fault, which lasts a third of it
	long    time.Duration // of a partition that outlasts registrations
}

var (
	fullPlan  = plan{runs: 3, restart: time.Minute, kill: 30 * time.Second, web: 5 * time.Second, lookups: 2 * time.Second, fault: 36 * time.Second, long: 75 * time.Second}
	quickPlan = plan{runs: 1, restart: 20 * time.Second, kill: 12 * time.Second, web: 2 * time.Second, lookups: time.Second, fault: 18 * time.Second, long: 70 * time.Second}
)

// all is the systems, in the order of the table. Without a balancer between,
// "tcp" asks one server; "calm" is serval without the fault; "udp" sends datagrams
// on that it does not look at.
var all = []string{"serval", "nginx", "haproxy", "tcp", calm, "udp", "udp-gathered"}

// cases returns everything the benchmark measures.
func (b plan) cases() []suite.Case {
	own := []string{"serval"}
	web := []string{"serval", "nginx", "haproxy", "tcp"}
	both := []string{"serval", calm}
	return []suite.Case{
		{Rows: []suite.Row{
			{Name: "lpm-1m-ns", Unit: "ns"}, {Name: "lpm-1m-mixed-ns", Unit: "ns"},
			{Name: "lpm-1m-allocs", Unit: "allocs"}, {Name: "lpm-update-us", Unit: "us"},
		}, Systems: own, Run: b.tables},
		{Rows: []suite.Row{
			{Name: "first-packets-per-core-s", Unit: "1/s"}, {Name: "first-packets-per-s", Unit: "1/s"},
			{Name: "first-packets-train-per-core-s", Unit: "1/s"}, {Name: "first-packets-train-per-s", Unit: "1/s"},
		}, Systems: []string{"serval", "udp", "udp-gathered"}, Run: b.firstPackets},
		{Rows: []suite.Row{{Name: "router-dial-ms", Unit: "ms"}, {Name: "router-dial-extra-ms", Unit: "ms"}}, Systems: own, Run: b.routerDials},
		{Rows: []suite.Row{
			{Name: "rolling-restart-failed", Unit: "requests"}, {Name: "rolling-restart-asked", Unit: "requests"},
			{Name: "rolling-restart-p999-ms", Unit: "ms"},
		}, Systems: own, Run: b.rollingRestart},
		{Rows: []suite.Row{
			{Name: "kill-failed-elsewhere", Unit: "requests"}, {Name: "kill-failed", Unit: "requests"},
			{Name: "dial-after-kill-p999-ms", Unit: "ms"}, {Name: "dial-after-kill-p50-ms", Unit: "ms"},
		}, Systems: own, Run: b.crash},
		{Rows: faultRows("fault-blackhole", suite.Row{Name: "fault-blackhole-caught", Unit: "requests"}, suite.Row{Name: "fault-blackhole-return-s", Unit: "s"}), Systems: both, Run: b.blackHole},
		{Rows: faultRows("fault-partition", suite.Row{Name: "fault-partition-heal-ms", Unit: "ms"}), Systems: both, Run: b.partition},
		{Rows: []suite.Row{
			{Name: "fault-partition-holds-s", Unit: "s"}, {Name: "fault-partition-long-heal-ms", Unit: "ms"},
		}, Systems: own, Run: b.longPartition},
		{Rows: faultRows("fault-router-killed", suite.Row{Name: "fault-router-killed-kept-failed", Unit: "requests"}), Systems: both, Run: b.routerKilled},
		{Rows: faultRows("fault-skew", suite.Row{Name: "fault-skew-share", Unit: "share"}), Systems: both, Run: b.clocks},
		{Rows: []suite.Row{
			{Name: "http-lb-rps", Unit: "1/s"}, {Name: "http-lb-p50-us", Unit: "us"},
			{Name: "http-lb-p99-us", Unit: "us"},
		}, Systems: web, Run: b.keptRequests},
		{Rows: []suite.Row{
			{Name: "http-lb-fresh-rps", Unit: "1/s"}, {Name: "http-lb-fresh-p50-us", Unit: "us"},
			{Name: "http-lb-fresh-p99-us", Unit: "us"},
		}, Systems: web, Run: b.freshRequests},
	}
}

// targets is what the project wants to reach.
var targets = []score.Target{
	{Row: "lpm-1m-ns", Must: 250, Aim: 250, LowerWins: true},
	{Row: "lpm-1m-mixed-ns", Must: 250, Aim: 250, LowerWins: true},
	{Row: "lpm-1m-allocs", Must: 0, Aim: 0, LowerWins: true},
	{Row: "lpm-update-us", Must: 50, Aim: 50, LowerWins: true},
	{Row: "first-packets-per-core-s", Must: 250_000, Aim: 250_000},
	{Row: "first-packets-train-per-core-s", Must: 400_000, Aim: 400_000},
	{Row: "rolling-restart-failed", Must: 0, Aim: 0, LowerWins: true},
	{Row: "kill-failed-elsewhere", Must: 0, Aim: 0, LowerWins: true},
	{Row: "dial-after-kill-p999-ms", Must: 300, Aim: 300, LowerWins: true},
	{Row: "fault-blackhole-failed", Must: 0, Aim: 0, LowerWins: true},
	{Row: "fault-partition-failed", Must: 0, Aim: 0, LowerWins: true},
	{Row: "fault-router-killed-failed", Must: 0, Aim: 0, LowerWins: true},
	{Row: "fault-router-killed-kept-failed", Must: 0, Aim: 0, LowerWins: true},
	{Row: "fault-skew-failed", Must: 0, Aim: 0, LowerWins: true},
	{Row: "http-lb-rps", Peer: "nginx", Must: 1, Aim: 1},
	{Row: "http-lb-p99-us", Peer: "nginx", Must: 1, Aim: 1, LowerWins: true},
	{Row: "http-lb-rps", Peer: "haproxy", Must: 1, Aim: 1},
	{Row: "http-lb-p99-us", Peer: "haproxy", Must: 1, Aim: 1, LowerWins: true},
}
