//go:build linux

package main

import (
	"time"

	"github.com/serval-net/serval/interop/bench/score"
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

// row is one line of the results.
type row struct{ name, unit string }

// group is one execution that yields several rows.
type group struct {
	rows    []row
	systems []string
	run     runner
}

// Choice implements suite.Group.
func (g *group) Choice() (rows []string, systems *[]string) {
	for _, r := range g.rows {
		rows = append(rows, r.name)
	}
	return rows, &g.systems
}

// groups returns everything the benchmark measures.
func groups() []group {
	own := []string{"serval"}
	web := []string{"serval", "nginx", "haproxy", "tcp"}
	both := []string{"serval", calm}
	return []group{
		{[]row{{"lpm-1m-ns", "ns"}, {"lpm-1m-mixed-ns", "ns"}, {"lpm-1m-allocs", "allocs"}, {"lpm-update-us", "us"}}, own, lookups},
		{[]row{{"first-packets-per-core-s", "1/s"}, {"first-packets-per-s", "1/s"}, {"first-packets-train-per-core-s", "1/s"}, {"first-packets-train-per-s", "1/s"}}, []string{"serval", "udp", "udp-gathered"}, firstPackets},
		{[]row{{"router-dial-ms", "ms"}, {"router-dial-extra-ms", "ms"}}, own, routerDials},
		{[]row{{"rolling-restart-failed", "requests"}, {"rolling-restart-asked", "requests"}, {"rolling-restart-p999-ms", "ms"}}, own, rollingRestart},
		{[]row{{"kill-failed-elsewhere", "requests"}, {"kill-failed", "requests"}, {"dial-after-kill-p999-ms", "ms"}, {"dial-after-kill-p50-ms", "ms"}}, own, crash},
		{faultRows("fault-blackhole", row{"fault-blackhole-caught", "requests"}, row{"fault-blackhole-return-s", "s"}), both, blackHole},
		{faultRows("fault-partition", row{"fault-partition-heal-ms", "ms"}), both, partition},
		{[]row{{"fault-partition-holds-s", "s"}, {"fault-partition-long-heal-ms", "ms"}}, own, longPartition},
		{faultRows("fault-router-killed", row{"fault-router-killed-kept-failed", "requests"}), both, routerKilled},
		{faultRows("fault-skew", row{"fault-skew-share", "share"}), both, clocks},
		{[]row{{"http-lb-rps", "1/s"}, {"http-lb-p50-us", "us"}, {"http-lb-p99-us", "us"}}, web, keptRequests},
		{[]row{{"http-lb-fresh-rps", "1/s"}, {"http-lb-fresh-p50-us", "us"}, {"http-lb-fresh-p99-us", "us"}}, web, freshRequests},
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
