//go:build linux

package main

// target is a bound on what serval does in a case, relative to a reference: a
// peer's result, serval's in another case, or 1.
type target struct {
	row       string
	peer      string // the reference system; empty with no reference case: an absolute bound
	ofCase    string // the reference case; empty: the same
	must, aim float64
	lowerWins bool
}

var targets = []target{
	{row: "bulk-veth", peer: "quic-go", must: 2.5, aim: 3.5},
	{row: "bulk-veth", peer: "wireguard-go", must: 7, aim: 10},
	{row: "bulk-veth", peer: "tls", must: 0.42, aim: 0.65},
	{row: "bulk-lo", peer: "quic-go", must: 2.5, aim: 2.5},
	{row: "bulk-lo", peer: "tls", must: 0.5, aim: 0.9},
	{row: "wan-20ms-loss0", peer: "tcp-bbr", must: 0.85, aim: 1},
	{row: "wan-20ms-loss0.1", peer: "tcp-bbr", must: 0.85, aim: 1},
	{row: "wan-20ms-loss0.1", peer: "tcp-cubic", must: 15, aim: 15},
	{row: "wan-20ms-loss0.1", peer: "quic-go", must: 15, aim: 15},
	{row: "wan-20ms-loss1", peer: "tcp-bbr", must: 0.85, aim: 1},
	{row: "wan-20ms-loss1", peer: "tcp-cubic", must: 15, aim: 15},
	{row: "wan-20ms-loss1", peer: "quic-go", must: 15, aim: 15},
	{row: "wan-100ms-loss0", peer: "tcp-bbr", must: 0.8, aim: 1},
	{row: "wan-100ms-loss0.1", peer: "tcp-bbr", must: 0.8, aim: 1},
	{row: "wan-100ms-loss1", peer: "tcp-bbr", must: 0.8, aim: 1},
	{row: "share-cubic", must: 30, aim: 30},
	{row: "share-cubic-other", must: 30, aim: 30},
	{row: "share-bbr", must: 30, aim: 30},
	{row: "share-bbr-other", must: 30, aim: 30},
	{row: "share-serval", peer: "serval", ofCase: "share-serval-other", must: 0.9, aim: 0.9},
	{row: "share-serval-other", peer: "serval", ofCase: "share-serval", must: 0.9, aim: 0.9},
	{row: "share-serval-queue", must: 50, aim: 20, lowerWins: true},
	{row: "rr-veth-p50", peer: "quic-go", must: 0.6, aim: 0.3, lowerWins: true},
	{row: "rr-veth-p99", peer: "quic-go", must: 1.5, aim: 1.5, lowerWins: true},
	{row: "idle-cpu", peer: "quic-go", must: 1, aim: 1, lowerWins: true},
	{row: "dials-serial", peer: "tls", must: 1.25, aim: 2},
	{row: "dials-16", peer: "tls", must: 1.25, aim: 2},
	{row: "idle-conn-bytes", must: 20 << 10, aim: 12 << 10, lowerWins: true},
	{row: "idle-conn-dials-kept", must: 0.9, aim: 1},
	{row: "streams-8", peer: "serval", ofCase: "bulk-veth", must: 1, aim: 1},
	{row: "streams-8-jain", must: 0.9, aim: 0.9},
	{row: "streams-64", peer: "serval", ofCase: "bulk-veth", must: 1, aim: 1},
	{row: "streams-64-jain", must: 0.9, aim: 0.9},
	{row: "dial-after-kill-p99", must: 300, aim: 300, lowerWins: true},
	{row: "dial-after-kill-failed", must: 0, aim: 0, lowerWins: true},
	{row: "dial-after-stop-failed", must: 0, aim: 0, lowerWins: true},
	{row: "gossip-50-converge", must: 1000, aim: 1000, lowerWins: true},
}

// value returns what serval reached, and false where something was not measured.
func (t target) value(results []result) (float64, bool) {
	own, ok := find(results, t.row, "serval")
	if !ok || t.peer == "" {
		return own, ok
	}
	of := t.ofCase
	if of == "" {
		of = t.row
	}
	reference, ok := find(results, of, t.peer)
	return own / reference, ok
}

// verdict compares a value with the target.
func (t target) verdict(v float64) string {
	reached := func(bound float64) bool {
		if t.lowerWins {
			return v <= bound
		}
		return v >= bound
	}
	switch {
	case reached(t.aim):
		return "aim"
	case reached(t.must):
		return "ok"
	}
	return "MISSED"
}

func find(results []result, name, system string) (float64, bool) {
	for _, r := range results {
		if r.Case == name && r.System == system {
			return r.Median, true
		}
	}
	return 0, false
}
