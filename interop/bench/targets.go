//go:build linux

package main

import "github.com/serval-net/serval/interop/bench/score"

// targets is what serval must reach.
var targets = []score.Target{
	{Row: "bulk-veth", Peer: "quic-go", Must: 2.5, Aim: 3.5},
	{Row: "bulk-veth", Peer: "wireguard-go", Must: 7, Aim: 10},
	{Row: "bulk-veth", Peer: "tls", Must: 0.42, Aim: 0.65},
	{Row: "bulk-lo", Peer: "quic-go", Must: 2.5, Aim: 2.5},
	{Row: "bulk-lo", Peer: "tls", Must: 0.5, Aim: 0.9},
	{Row: "wan-20ms-loss0", Peer: "tcp-bbr", Must: 0.85, Aim: 1},
	{Row: "wan-20ms-loss0.1", Peer: "tcp-bbr", Must: 0.85, Aim: 1},
	{Row: "wan-20ms-loss0.1", Peer: "tcp-cubic", Must: 15, Aim: 15},
	{Row: "wan-20ms-loss0.1", Peer: "quic-go", Must: 15, Aim: 15},
	{Row: "wan-20ms-loss1", Peer: "tcp-bbr", Must: 0.85, Aim: 1},
	{Row: "wan-20ms-loss1", Peer: "tcp-cubic", Must: 15, Aim: 15},
	{Row: "wan-20ms-loss1", Peer: "quic-go", Must: 15, Aim: 15},
	{Row: "wan-100ms-loss0", Peer: "tcp-bbr", Must: 0.8, Aim: 1},
	{Row: "wan-100ms-loss0.1", Peer: "tcp-bbr", Must: 0.8, Aim: 1},
	{Row: "wan-100ms-loss1", Peer: "tcp-bbr", Must: 0.8, Aim: 1},
	{Row: "share-cubic", Must: 30, Aim: 30},
	{Row: "share-cubic-other", Must: 30, Aim: 30},
	{Row: "share-bbr", Must: 30, Aim: 30},
	{Row: "share-bbr-other", Must: 30, Aim: 30},
	{Row: "share-serval", Peer: "serval", OfCase: "share-serval-other", Must: 0.9, Aim: 0.9},
	{Row: "share-serval-other", Peer: "serval", OfCase: "share-serval", Must: 0.9, Aim: 0.9},
	{Row: "share-serval-queue", Must: 50, Aim: 20, LowerWins: true},
	{Row: "rr-veth-p50", Peer: "quic-go", Must: 0.6, Aim: 0.3, LowerWins: true},
	{Row: "rr-veth-p99", Peer: "quic-go", Must: 1.5, Aim: 1.5, LowerWins: true},
	{Row: "idle-cpu", Peer: "quic-go", Must: 1, Aim: 1, LowerWins: true},
	{Row: "dials-serial", Peer: "tls", Must: 1.25, Aim: 2},
	{Row: "dials-16", Peer: "tls", Must: 1.25, Aim: 2},
	{Row: "idle-conn-bytes", Must: 20 << 10, Aim: 12 << 10, LowerWins: true},
	{Row: "idle-conn-dials-kept", Must: 0.9, Aim: 1},
	{Row: "streams-8", Peer: "serval", OfCase: "bulk-veth", Must: 1, Aim: 1},
	{Row: "streams-8-jain", Must: 0.9, Aim: 0.9},
	{Row: "streams-64", Peer: "serval", OfCase: "bulk-veth", Must: 1, Aim: 1},
	{Row: "streams-64-jain", Must: 0.9, Aim: 0.9},
	{Row: "dial-after-kill-p99", Must: 300, Aim: 300, LowerWins: true},
	{Row: "dial-after-kill-failed", Must: 0, Aim: 0, LowerWins: true},
	{Row: "dial-after-stop-failed", Must: 0, Aim: 0, LowerWins: true},
	{Row: "gossip-50-converge", Must: 1000, Aim: 1000, LowerWins: true},
}
