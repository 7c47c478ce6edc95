package tun

import (
	"fmt"
	"net/netip"
	"testing"
)

func key(client byte, port uint16) flowKey {
	return flowKey{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, client}), port), server4.Addr()}
}

// A client with more than its share of flows loses its own, not those of others.
func TestFlowsAreShared(t *testing.T) {
	var flows flows
	mine, _ := flows.get(key(1, 1), 10)
	for port := range uint16(100) {
		flows.get(key(2, port), 10)
	}
	if again, fresh := flows.get(key(1, 1), 10); fresh || again != mine {
		t.Error("a flow gave way to those of another client")
	}
	for port := range uint16(100) {
		flows.get(key(1, port), 10)
	}
	count := map[netip.Addr]int{}
	for k := range flows.open {
		count[k.src.Addr()]++
	}
	if fmt.Sprint(count) != "map[10.0.0.1:5 10.0.0.2:5]" {
		t.Errorf("two greedy clients share ten flows as %v", count)
	}
	if flows.len() != 10 {
		t.Errorf("%d flows", flows.len())
	}
	select {
	case <-mine.ended:
	default:
		t.Error("a flow that gave way goes on")
	}
}

// What waits is bounded, for one flow and for all.
func TestWaitingDatagrams(t *testing.T) {
	var flows flows
	big := make([]byte, 60_000)
	for port := range uint16(100) {
		f, _ := flows.get(key(1, port), 1000)
		for range 1000 {
			flows.queue(f, datagram{packet: big})
		}
		if len(f.waiting) > maxWaiting {
			t.Fatalf("%d datagrams wait in a flow", len(f.waiting))
		}
	}
	if n := flows.waiting.Load(); n > maxWaitingBytes+60_000 || n < maxWaitingBytes-60_000 {
		t.Errorf("%d bytes wait", n)
	}
	for _, f := range flows.open {
		flows.discard(f)
		flows.queue(f, datagram{packet: big})
	}
	if n := flows.waiting.Load(); n != 0 || flows.len() != 0 || len(flows.of) != 0 {
		t.Errorf("%d bytes and %d flows are left", n, flows.len())
	}
}

func TestClientsShareStreams(t *testing.T) {
	var streams streams
	one, other := client4.Addr(), client6.Addr()
	n := 0
	for streams.reserve(one, 100) {
		n++
	}
	if n != 75 {
		t.Errorf("one client has %d of 100 places", n)
	}
	for streams.reserve(other, 100) {
		n++
	}
	if n != 100 || streams.taken() != 100 {
		t.Errorf("%d of 100 places were taken", n)
	}
	for range 75 {
		streams.release(one)
	}
	for range 25 {
		streams.release(other)
	}
	if streams.taken() != 0 || len(streams.of) != 0 {
		t.Error("places are left")
	}
}
