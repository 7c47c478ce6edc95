#!/bin/sh
# Prints the results of make bench-failover, out/failover.jsonl, as a table for
# documents: medians, with the targets. Run it on the machine that was measured:
# it names kernel and processor below the table.
#
#   make bench-failover && scripts/failover-table.sh
#   scripts/failover-table.sh other.jsonl
set -eu
cd "$(dirname "$0")/.."
. scripts/table.sh
results=$(measured failover "$@")
awk -v machine="$machine" "$awk_common"'
BEGIN {
	row("single-path-rate", "one flow, one path", ">= 92.5")
	row("agg-equal-rate", "2 x 100 Mbit/s, 20 ms", "")
	row("agg-equal-efficiency", "... to the sum of one flow on each", ">= 0.98")
	row("agg-unequal-rate", "100 Mbit/s, 20 ms and 20 Mbit/s, 160 ms", "")
	row("agg-unequal-efficiency", "... to the sum of one flow on each", ">= 0.95")
	row("agg-harm-loss1", "second path loses 1 %, to the good path alone", ">= 1")
	row("agg-harm-loss5", "second path loses 5 %", ">= 1")
	row("agg-harm-bloat", "second path queues for 400 ms", ">= 1")
	row("agg-harm-flap", "second path flaps", ">= 1")
	row("gap-linkdown-aggregate", "gap, link down, aggregate", "<= 80")
	row("gap-addrdel-aggregate", "gap, address removed, aggregate", "<= 80")
	row("gap-linkdown-failover", "gap, link down, failover with a warm path", "<= 50")
	row("gap-blackhole-aggregate", "gap, blackhole, aggregate", "<= 150")
	row("gap-any-redundant", "gap, any single path failure, redundant", "<= 15")
	row("restore-full-rate", "full rate after restore", "<= 1")
	row("restore-used", "restored path used after", "<= 2")
	row("gap-addrswap-single", "only path gets a new address: silence after it works", "<= 100")
	row("gap-natrebind-single", "only path is rebound by its NAT", "<= 100")
	row("gap-bothmove", "both ends move at once", "<= 500")
	row("resume-60s", "all paths gone for a minute: silence after return", "<= 500")
	row("migrations-1000", "migrations in a row under load, byte-exact", "1000")
	row("migrations-1000-memory", "... memory at the end to that after a tenth", "<= 1.2")
	row("idle-1000-move", "1000 idle connections work again", "<= 1000")
	row("one-flow-cost", "one flow over a cable, to TLS", ">= 0.84")
}
END {
	table("serval mptcp quic-go tcp", 1, rows)
	print "Medians of up to " runs " runs, in brackets the range; the worse of both directions. A gap"
	print "of seconds means that the connection did not recover while it was watched. " machine "."
}' "$results"
