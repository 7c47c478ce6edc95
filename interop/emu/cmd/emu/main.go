//go:build linux

// Command emu delays, drops, duplicates and reorders the packets that iptables sends to
// netfilter queues of the network namespace it runs in:
//
//	iptables -A FORWARD -i eth0 -j NFQUEUE --queue-num 0
//	emu -delay 10ms -loss 0.01 0
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/serval-net/serval/interop/emu"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var cfg emu.Config
	flag.DurationVar(&cfg.Delay, "delay", 0, "hold each packet this long")
	flag.DurationVar(&cfg.Jitter, "jitter", 0, "vary the delay by up to this much, keeping the order")
	flag.Float64Var(&cfg.Reorder, "reorder", 0, "probability that a packet is not held")
	flag.Float64Var(&cfg.Loss, "loss", 0, "probability that a packet is dropped")
	flag.Float64Var(&cfg.Duplicate, "duplicate", 0, "probability that a packet is sent twice")
	flag.IntVar(&cfg.Limit, "limit", emu.DefaultLimit, "most packets held per queue")
	flag.Uint64Var(&cfg.Seed, "seed", 0, "seed of the random decisions")
	flag.Parse()
	if flag.NArg() == 0 {
		return errors.New("emu: name the netfilter queue numbers to serve, such as: emu -delay 10ms 0 1")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	var emus []*emu.Emulator
	for _, arg := range flag.Args() {
		queue, err := strconv.ParseUint(arg, 10, 16)
		if err != nil {
			return fmt.Errorf("emu: %q is not a queue number", arg)
		}
		e, err := emu.Start(uint16(queue), cfg)
		if err != nil {
			return err
		}
		emus = append(emus, e)
	}
	<-stop
	var errs []error
	for i, e := range emus {
		errs = append(errs, e.Close())
		s := e.Stats()
		fmt.Printf("queue %s: %d packets, %d dropped\n", flag.Arg(i), s.Packets, s.Dropped)
	}
	return errors.Join(errs...)
}
