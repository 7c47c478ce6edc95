#!/bin/sh
# Prints the results of make bench-services, out/services.jsonl, as a table for
# documents: medians, with the targets. Run it on the machine that was measured:
# it names kernel and processor below the table.
#
#   make bench-services && scripts/services-table.sh
#   scripts/services-table.sh other.jsonl
set -eu
cd "$(dirname "$0")/.."
. scripts/table.sh
results=$(measured services "$@")
awk -v machine="$machine" "$awk_common"'
BEGIN {
	row("lpm-1m-ns", "longest-prefix lookup among a million names", "<= 250")
	row("lpm-1m-mixed-ns", "... among a million names, subtrees and key ranges", "<= 250")
	row("lpm-1m-allocs", "... allocations", "0")
	row("lpm-update-us", "... update", "<= 50")
	row("router-dial-ms", "dial through a router over loopback, median", "")
	row("router-dial-extra-ms", "... beyond a direct one", "")
	row("rolling-restart-failed", "rolling restart of five replicas: requests failed", "0")
	row("rolling-restart-asked", "... of", "")
	row("rolling-restart-p999-ms", "... 99.9 % of requests within", "")
	row("kill-failed-elsewhere", "one of five killed: requests failed elsewhere", "0")
	row("kill-failed", "... in all", "")
	row("dial-after-kill-p50-ms", "... dial and request afterwards, median", "")
	row("dial-after-kill-p999-ms", "... 99.9 % within", "<= 300")
	row("http-lb-rps", "short requests, connections kept", "")
	row("http-lb-p50-us", "... median", "")
	row("http-lb-p99-us", "... 99 % within", "")
	row("http-lb-fresh-rps", "short requests, a connection for each", "")
	row("http-lb-fresh-p50-us", "... median", "")
	row("http-lb-fresh-p99-us", "... 99 % within", "")
	web = rows
	row("first-packets-per-core-s", "first packets forwarded in a second of a core, many sources", ">= 250000")
	row("first-packets-per-s", "... in a second, with the load on another core", "")
	row("first-packets-train-per-core-s", "... in trains, in a second of a core", ">= 400000")
	row("first-packets-train-per-s", "... in a second", "")
	forwarding = rows
	row("fault-blackhole-failed", "half the instances black-holed: requests failed", "0")
	row("fault-blackhole-p50-ms", "... median", "")
	row("fault-blackhole-p999-ms", "... 99.9 % within", "")
	row("fault-blackhole-return-s", "... all in use again after they wake up", "")
	row("fault-partition-failed", "gossip cut: requests failed", "0")
	row("fault-partition-p999-ms", "... 99.9 % within", "")
	row("fault-partition-heal-ms", "... who joined is known after it heals", "")
	row("fault-router-killed-failed", "one of two routers killed: requests failed", "0")
	row("fault-router-killed-p999-ms", "... 99.9 % within", "")
	row("fault-skew-failed", "half the clocks off by 110 s: requests failed", "0")
	row("fault-skew-p999-ms", "... 99.9 % within", "")
	row("fault-skew-share", "... share of those instances", "")
}
END {
	table("serval nginx haproxy tcp", 1, web)
	table("serval udp udp-gathered", web + 1, forwarding)
	table("serval calm", forwarding + 1, rows)
	print "Medians of up to " runs " runs, in brackets the range. " machine "."
}' "$results"
