//go:build linux

package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/legacy/stage"
	"github.com/serval-net/serval/interop/legacy/traffic"
)

// self is the command for a part of this program: see traffic.Process.
func self(args ...string) []string {
	path, err := os.Executable()
	if err != nil {
		panic(err) // Linux tells it
	}
	return append([]string{path}, args...)
}

func echoServer(host, port string) []string { return self("echo", host+":"+port) }

// latency measures requests of a byte, one after the other over one connection, with
// servald at both ends and without, in turn.
func (p plan) latency(ctx context.Context, system string) (map[string]float64, error) {
	s, err := newSite(ctx, stage.NewCable, echoServer)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	plain, err := s.trips(ctx, "", p.trips)
	if err != nil {
		return nil, err
	}
	if system == native {
		return map[string]float64{"request-us": plain.P50, "request-tun-us": plain.P50, "request-p99-us": plain.P99}, nil
	}
	if _, err := s.offer(ctx); err != nil {
		return nil, err
	}
	forward, err := s.trips(ctx, stage.Forward, p.trips)
	if err != nil {
		return nil, err
	}
	got := map[string]float64{"added-latency-us": forward.P50 - plain.P50, "request-us": forward.P50, "request-p99-us": forward.P99}
	tun, err := s.trips(ctx, stage.TUN, p.trips)
	if err != nil {
		return got, err
	}
	got["added-latency-tun-us"], got["request-tun-us"] = tun.P50-plain.P50, tun.P50
	return got, nil
}

func (s *site) trips(ctx context.Context, way stage.Way, d time.Duration) (t traffic.Times, err error) {
	host, port, err := s.at(ctx, way)
	if err != nil {
		return t, err
	}
	return s.tripsAt(ctx, way, host+":"+port, d)
}

func (s *site) tripsAt(ctx context.Context, way stage.Way, addr string, d time.Duration) (t traffic.Times, err error) {
	out, err := s.RunBy(ctx, way, nil, self("trips", addr, d.String())...)
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal([]byte(out), &t)
}

// redis measures commands in pipelines of 16, the mean of SET and GET.
func (p plan) redis(ctx context.Context, system string) (map[string]float64, error) {
	s, err := newSite(ctx, stage.NewCable, func(host, port string) []string {
		return []string{"redis-server", "--bind", host, "--port", port, "--save", "", "--protected-mode", "no"}
	})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.both(ctx, system, "redis-rps", "redis-tun-rps", func(way stage.Way, host, port string) (float64, error) {
		out, err := s.RunBy(ctx, way, nil, "redis-benchmark", "-h", host, "-p", port, "-t", "set,get", "-n", fmt.Sprint(p.requests), "-c", "50", "-P", "16", "--csv")
		if err != nil {
			return 0, err
		}
		return redisRate(out)
	})
}

// redisRate is the mean of the rates in what redis-benchmark --csv prints.
func redisRate(out string) (float64, error) {
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) < 2 {
		return 0, fmt.Errorf("redis-benchmark: %v:\n%s", err, out)
	}
	sum := 0.0
	for _, r := range rows[1:] {
		rate, err := strconv.ParseFloat(r[1], 64)
		if err != nil {
			return 0, fmt.Errorf("redis-benchmark: %w:\n%s", err, out)
		}
		sum += rate
	}
	return sum / float64(len(rows)-1), nil
}

// both measures without Serval or over the pair of HAProxies, or by forward and by the
// TUN.
func (s *site) both(ctx context.Context, system, forward, tun string, measure func(way stage.Way, host, port string) (float64, error)) (map[string]float64, error) {
	ways := map[string]stage.Way{forward: stage.Forward, tun: stage.TUN}
	if system == haproxy {
		host, port, err := s.pair(ctx)
		if err != nil {
			return nil, err
		}
		rate, err := measure("", host, port)
		if err != nil {
			return nil, err
		}
		return map[string]float64{forward: rate, tun: rate}, nil
	}
	if system == native {
		ways = map[string]stage.Way{forward: ""}
	} else if _, err := s.offer(ctx); err != nil {
		return nil, err
	}
	got := map[string]float64{}
	for _, row := range []string{forward, tun} {
		way, ok := ways[row]
		if !ok {
			got[row] = got[forward]
			continue
		}
		host, port, err := s.at(ctx, way)
		if err != nil {
			return got, err
		}
		rate, err := measure(way, host, port)
		if err != nil {
			return got, fmt.Errorf("%s: %w", row, err)
		}
		got[row] = rate
	}
	return got, nil
}

const nginxConfig = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  keepalive_requests 100000000;
  server { listen %[2]s; location / { return 200 "serval serval serval serval\n"; } }
}
`

var wrkRate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

// wrk measures short requests of HTTP over 50 connections.
func (p plan) wrk(ctx context.Context, system string) (map[string]float64, error) {
	dir, err := os.MkdirTemp("", "legacy")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "nginx.conf")
	s, err := newSite(ctx, stage.NewCable, func(host, port string) []string {
		err = os.WriteFile(file, fmt.Appendf(nil, nginxConfig, dir, host+":"+port), 0o644)
		return []string{"nginx", "-p", dir, "-c", file}
	})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.both(ctx, system, "wrk-rps", "wrk-tun-rps", func(way stage.Way, host, port string) (float64, error) {
		out, err := s.RunBy(ctx, way, nil, "wrk", "-t1", "-c50", fmt.Sprintf("-d%.0fs", p.web.Seconds()), "http://"+host+":"+port+"/")
		if err != nil {
			return 0, err
		}
		m := wrkRate.FindStringSubmatch(out)
		if m == nil || strings.Contains(out, "Socket errors") {
			return 0, fmt.Errorf("wrk:\n%s", out)
		}
		return strconv.ParseFloat(m[1], 64)
	})
}
