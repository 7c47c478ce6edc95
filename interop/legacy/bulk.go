//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/internal/suite"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// bulkWays are those that carry a stream, and how their rows are called.
var bulkWays = []struct {
	row string
	way stage.Way
}{{"forward-bulk", stage.Forward}, {"tun-bulk", stage.TUN}, {"exec-bulk", stage.Exec}}

// bulkRows are those of one stream on a site.
func bulkRows(site string) (rows []suite.Row) {
	for _, w := range bulkWays {
		rows = append(rows, suite.Row{Name: w.row + site, Unit: "Mbit/s"})
	}
	return rows
}

type runner = func(ctx context.Context, system string) (map[string]float64, error)

// bulkOver measures one stream on a kind of stage.
func (p plan) bulkOver(build func(context.Context) (*stage.Stage, error), name string) runner {
	return func(ctx context.Context, system string) (map[string]float64, error) {
		s, err := newSite(ctx, build, func(host, port string) []string {
			return []string{"iperf3", "-s", "-B", host, "-p", port}
		})
		if err != nil {
			return nil, err
		}
		defer s.Close()
		got := map[string]float64{}
		same := func(rate float64) map[string]float64 {
			for _, w := range bulkWays {
				got[w.row+name] = rate
			}
			return got
		}
		switch system {
		case serval:
			rate, err := s.perf(ctx, p.bulk)
			if err != nil {
				return nil, err
			}
			return same(rate), nil
		case native:
			rate, err := s.iperf(ctx, "", p.bulk)
			if err != nil {
				return nil, err
			}
			return same(rate), nil
		}
		if _, err := s.offer(ctx); err != nil {
			return nil, err
		}
		for _, w := range bulkWays {
			if got[w.row+name], err = s.iperf(ctx, w.way, p.bulk); err != nil {
				delete(got, w.row+name)
				return got, fmt.Errorf("%s: %w", w.way, err)
			}
		}
		return got, nil
	}
}

// iperf returns what the server of iperf3 receives, in Mbit/s.
func (s *site) iperf(ctx context.Context, way stage.Way, d time.Duration) (float64, error) {
	host, port, err := s.at(ctx, way)
	if err != nil {
		return 0, err
	}
	// The start, in which rates still rise, is left out on all systems.
	out, err := s.RunBy(ctx, way, nil, "iperf3", "-c", host, "-p", port, "-t", fmt.Sprintf("%.0f", d.Seconds()), "-O", "1", "-J")
	if err != nil {
		return 0, err
	}
	var r struct {
		Error string
		End   struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return 0, fmt.Errorf("iperf3: %w:\n%.300s", err, out)
	}
	if r.Error != "" || r.End.SumReceived.BitsPerSecond == 0 {
		return 0, fmt.Errorf("iperf3 carried nothing: %s", r.Error)
	}
	return r.End.SumReceived.BitsPerSecond / 1e6, nil
}

// perf returns what servald perf gets, in Mbit/s.
func (s *site) perf(ctx context.Context, d time.Duration) (float64, error) {
	p, err := s.Server.Start("perf --serve", s.Fleet.Servald, "perf", "--serve", "svc:perf")
	if err != nil {
		return 0, err
	}
	if _, err := p.Expect(ctx, "^measuring on"); err != nil {
		return 0, err
	}
	if err := s.Known(ctx, "svc:perf", 1); err != nil {
		return 0, err
	}
	out, err := stage.Run(ctx, s.Client, nil, s.Fleet.Servald, "perf", "--json", "svc:perf", "--time", d.String())
	if err != nil {
		return 0, err
	}
	var r struct {
		BitsPerSecond float64 `json:"bits_per_second"`
	}
	if err := fleet.ParseLast(out, &r); err != nil {
		return 0, fmt.Errorf("servald perf: %w", err)
	}
	return r.BitsPerSecond / 1e6, nil
}
