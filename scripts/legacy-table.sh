#!/bin/sh
# Prints the results of make bench-legacy, out/legacy.jsonl, as a table for
# documents: medians, with the targets. Run it on the machine that was measured:
# it names kernel and processor below the table.
#
#   make bench-legacy && scripts/legacy-table.sh
#   scripts/legacy-table.sh other.jsonl
set -eu
cd "$(dirname "$0")/.."
. scripts/table.sh
results=$(measured legacy "$@")
awk -v machine="$machine" "$awk_common"'
BEGIN {
	row("tun-bulk", "iperf3, one stream, TUN, cable", ">= 0.7 of serval")
	row("forward-bulk", "... forward", ">= 0.7 of serval")
	row("exec-bulk", "... exec", "")
	row("tun-bulk-lo", "iperf3, one stream, TUN, loopback", ">= 0.7 of serval")
	row("forward-bulk-lo", "... forward", ">= 0.7 of serval")
	row("exec-bulk-lo", "... exec", "")
	row("added-latency-us", "added to a request by servald at both ends, forward", "<= 150")
	row("added-latency-tun-us", "... TUN", "<= 150")
	row("request-us", "request of a byte, median, forward", "")
	row("request-tun-us", "... TUN", "")
	row("request-p99-us", "... 99 % within, forward", "")
	row("redis-rps", "redis-benchmark -P 16, forward", ">= 0.5 of native")
	row("redis-tun-rps", "... TUN", ">= 0.5 of native")
	row("wrk-rps", "wrk, 50 connections, forward", ">= 0.5 of native")
	row("wrk-tun-rps", "... TUN", ">= 0.5 of native")
	row("proxied-conns", "connections open at once, forward", "10000")
	row("proxied-conn-bytes", "... memory of each, both halves", "<= 100000")
	row("proxied-conns-left", "... descriptors left after their end", "0")
	row("slow-reader-bytes", "memory of a connection whose client does not read", "")
	row("beside-greedy-p50-us", "request beside 64 greedy streams, median", "")
	row("beside-greedy-p99-us", "... 99 % within", "")
	row("programs-passed", "real programs that work, by all ways", "")
	row("programs-run", "... of", "")
	row("programs-survived", "... that last while the network is cut", "")
	row("programs-lasting", "... of", "")
}
END {
	table("servald native serval haproxy", 1, rows)
	print "Medians of up to " runs " runs, in brackets the range: the program through servald at both"
	print "ends, the same over TCP, servald perf, and the program through HAProxy on both hosts,"
	print "which does not encrypt. " machine "."
}' "$results"
