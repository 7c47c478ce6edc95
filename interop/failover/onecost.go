//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/interop/lab"
)

// loadProcess is this program's first argument where it is a side of a workload
// of package load.
const loadProcess = "load"

// oneFlowGroup measures what one flow carries over a cable, beside TLS over TCP in
// the same run.
func oneFlowGroup() group {
	const name, rate = "one-flow-cost", "one-flow-rate"
	return group{
		rows: []row{{name, "ratio"}, {rate, "Mbit/s"}}, systems: []string{"serval"},
		run: func(ctx context.Context, b *bench, system string) (values, error) {
			net, err := lab.NewPair()
			if err != nil {
				return nil, err
			}
			defer net.Close()
			own, err := cable(ctx, net, system, b.rate)
			if err != nil {
				return nil, err
			}
			reference, err := cable(ctx, net, "tls", b.rate)
			if err != nil {
				return nil, err
			}
			return values{name: own / reference, rate: own}, nil
		},
	}
}

// cable measures a bulk stream of a system between two processes, in Mbit/s.
func cable(ctx context.Context, net *lab.Pair, system string, d time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	addr := netip.AddrPortFrom(net.ServerIface.Addr(), 7000)
	server := net.Server.Command(ctx, self, loadProcess, "server", system, addr.String())
	out, err := server.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := net.Server.Start(server); err != nil {
		return 0, err
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return 0, fmt.Errorf("%s: the server did not start", system)
	}
	spec, err := json.Marshal(load.Spec{Kind: "bulk", Addr: addr, Warm: time.Second / 2, For: d})
	if err != nil {
		return 0, err
	}
	client := net.Client.Command(ctx, self, loadProcess, "client", system, string(spec))
	answer, err := client.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := net.Client.Start(client); err != nil {
		return 0, err
	}
	var result load.Result
	err = json.NewDecoder(answer).Decode(&result)
	if e := client.Wait(); e != nil {
		return 0, fmt.Errorf("%s: client: %w", system, e)
	}
	return result["Mbit/s"], err
}
