//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/interop/legacy/traffic"
)

func TestMain(m *testing.M) {
	if is, err := traffic.Process(os.Args[1:]); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// manyConns is what a test run opens; make bench-legacy opens ten thousand.
const manyConns = 1000

// TestManyConnections: a thousand proxied connections cost little more each than ten
// thousand may, which have what is common to all among more, and leave nothing behind.
func TestManyConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a cluster of processes, for some seconds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got, err := plan{conns: manyConns}.held(ctx, servald)
	if errors.Is(err, lab.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Log(got)
	if got["proxied-conn-bytes"] > 200e3 {
		t.Errorf("%.0f bytes for a connection", got["proxied-conn-bytes"])
	}
	if got["proxied-conns-left"] != 0 {
		t.Errorf("%.0f descriptors are left", got["proxied-conns-left"])
	}
}

// TestSlowReaders: clients that do not read what they asked for cost bounded memory.
func TestSlowReaders(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a cluster of processes, for some seconds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got, err := plan{slow: 32}.slowReaders(ctx, servald)
	if errors.Is(err, lab.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Log(got)
	if got["slow-reader-bytes"] > 16<<20 {
		t.Errorf("%.0f bytes for a connection that is not read", got["slow-reader-bytes"])
	}
}

func TestRedisRate(t *testing.T) {
	got, err := redisRate("\"test\",\"rps\",\"avg\"\n\"SET\",\"100.0\",\"1\"\n\"GET\",\"300.0\",\"1\"\n")
	if err != nil || got != 200 {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "\"test\",\"rps\"\n", "\"test\",\"rps\"\n\"SET\",\"many\"\n"} {
		if got, err := redisRate(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestTargetsAreMeasured(t *testing.T) {
	rows := map[string]string{}
	for _, c := range fullPlan.cases() {
		for _, r := range c.Rows {
			if rows[r.Name] != "" {
				t.Errorf("%s is measured twice", r.Name)
			}
			rows[r.Name] = strings.Join(c.Systems, " ")
		}
	}
	for _, target := range targets {
		if !strings.Contains(rows[target.Row], target.System) || !strings.Contains(rows[target.Row], target.Peer) {
			t.Errorf("%s is not measured for %s and %s", target.Row, target.System, target.Peer)
		}
	}
}

// TestTraffic: the parts do what they say, without anything between.
func TestTraffic(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	r, w := io.Pipe()
	go traffic.Echo(addr, w)
	if _, err := io.ReadFull(r, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := traffic.Trips(addr, time.Millisecond, &out); err != nil || !strings.Contains(out.String(), "P99") {
		t.Errorf("%q, %v", &out, err)
	}
	out.Reset()
	if err := traffic.Hold(addr, 100, strings.NewReader("again\n"), &out); err != nil || !strings.HasSuffix(out.String(), " s\nalive 100\nalive 100\n") {
		t.Errorf("%q, %v", &out, err)
	}
	if is, _ := traffic.Process([]string{"-quick"}); is {
		t.Error("a flag is taken for a part")
	}
}
