#!/bin/sh
# Puts the results of make bench, out/bench.jsonl, into README.md as a table,
# between the two bench markers. Run it on the machine that was measured: it
# names kernel and processor below the table.
#
#   make bench && scripts/bench-table.sh
#   scripts/bench-table.sh other.jsonl other.md
set -eu
cd "$(dirname "$0")/.."
results=${1:-out/bench.jsonl}
page=${2:-README.md}
[ -r "$results" ] || { echo "$results cannot be read: run make bench first" >&2; exit 1; }
grep -q '^<!-- bench -->$' "$page" && grep -q '^<!-- /bench -->$' "$page" ||
	{ echo "$page lacks the lines <!-- bench --> and <!-- /bench -->" >&2; exit 1; }

. scripts/table.sh
table=$(mktemp)
trap 'rm -f "$table" "$table.page"' EXIT
awk -v machine="$machine" "$awk_common"'
BEGIN {
	columns = split("serval tls quic-go wireguard-go tcp-cubic tcp-bbr", systems, " ")
	row("bulk-veth", "one stream, veth, MTU 1500")
	row("bulk-lo", "one stream, loopback")
	row("streams-8", "8 streams, veth, total")
	row("streams-64", "64 streams, veth, total")
	row("wan-20ms-loss0", "1 Gbit/s, 20 ms, no loss")
	row("wan-20ms-loss0.1", "1 Gbit/s, 20 ms, 0.1 % loss")
	row("wan-20ms-loss1", "1 Gbit/s, 20 ms, 1 % loss")
	row("wan-100ms-loss0", "1 Gbit/s, 100 ms, no loss")
	row("wan-100ms-loss0.1", "1 Gbit/s, 100 ms, 0.1 % loss")
	row("wan-100ms-loss1", "1 Gbit/s, 100 ms, 1 % loss")
	row("share-cubic", "100 Mbit/s shared with a kernel cubic flow: its own part")
	row("share-cubic-other", "... and that of cubic")
	row("share-bbr", "100 Mbit/s shared with a kernel BBR flow: its own part")
	row("share-bbr-other", "... and that of BBR")
	row("rr-veth-p50", "1-byte request and answer, median")
	row("rr-veth-p99", "... 99th percentile")
	row("dials-serial", "dials, one after the other")
	row("dials-16", "dials, 16 at a time")
	row("idle-conn-bytes", "memory of an idle connection, one end")
	row("dial-after-kill-p99", "dial after an instance was killed, p99")
	row("gossip-50-converge", "registration known to 50 nodes, median")
}
END {
	head("| Case | Unit |", "|---|---|")
	for (r = 1; r <= rows; r++) {
		name = order[r]
		if (!(name in unit)) continue
		line = "| " labels[name] " | " unit[name] " |"
		for (c = 1; c <= columns; c++)
			line = line " " ((name, systems[c]) in value ? value[name, systems[c]] : "") " |"
		print line
	}
	print "\nMedians of up to " runs " runs; " machine "."
}' "$results" >"$table"

awk -v table="$table" '
/^<!-- bench -->$/ { print; print ""; while ((getline line < table) > 0) print line; print ""; skip = 1 }
/^<!-- \/bench -->$/ { skip = 0 }
!skip { print }' "$page" >"$table.page"
cat "$table.page" >"$page"
