package handshake

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

// TestRetransmission: a SYN-ACK is repeated after 250, 750 and 1750 ms, then
// given up after 5 s.
func TestRetransmission(t *testing.T) {
	l := newLab(t)
	l.synack(l.initiator().SYN())
	var times []time.Duration
	for at := time.Duration(0); at < 6*time.Second; at += 10 * time.Millisecond {
		due := l.r.Deadline()
		again, gone := l.r.Timeout(start.Add(at))
		if worked := len(again)+len(gone) > 0; worked != (!due.IsZero() && !due.After(start.Add(at))) {
			t.Fatalf("at %v: deadline %v, worked %v", at, due.Sub(start), worked)
		}
		for range again {
			times = append(times, at)
		}
		for _, f := range gone {
			if f != serverFlow || at != halfOpenLife {
				t.Errorf("flow %v given up at %v", f, at)
			}
			times = append(times, at)
		}
	}
	if got, want := fmt.Sprint(times), "[250ms 750ms 1.75s 5s]"; got != want {
		t.Errorf("events at %v, want %v", got, want)
	}
	if !l.r.Deadline().IsZero() {
		t.Error("there is a deadline with nothing to do")
	}
}

// TestAmplification: all answers to an address that has not proved itself are at
// most three times as long as what came from there.
func TestAmplification(t *testing.T) {
	for _, size := range []int{sal.MinSYN, synLen} {
		l := newLab(t)
		i := l.initiator()
		if size == sal.MinSYN {
			i.syn.Extensions = nil
			i.packet = i.syn.Append(nil)
		}
		received, sent := 0, 0
		check := func(n int) {
			if sent += n; sent > sal.AmplificationLimit*received {
				t.Fatalf("%d bytes came in, %d went out", received, sent)
			}
		}
		for range 3 {
			received += len(i.SYN())
			reply, _, err := l.r.HandleSYN(start, i.SYN(), client, l.offer)
			if err != nil {
				t.Fatal(err)
			}
			check(len(reply))
		}
		for at := range 20 {
			again, _ := l.r.Timeout(start.Add(time.Duration(at) * 250 * time.Millisecond))
			for _, a := range again {
				check(len(a.Packet))
			}
		}
		if sent == 0 {
			t.Error("no answer at all")
		}
	}
}

func TestCookie(t *testing.T) {
	l := newLab(t)
	l.r.cfg.CookieThreshold = 0
	i := l.initiator()
	reply, opened, err := l.r.HandleSYN(start, i.SYN(), client, l.offer)
	if err != nil || opened || l.flows > 0 || len(l.r.table.bySYN) > 0 {
		t.Fatalf("a SYN without a cookie left state (error %v)", err)
	}
	syn, err := i.HandleCookie(reply)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		what string
		syn  []byte
		from netip.AddrPort
		at   time.Duration
	}{
		{"another port", syn, netipPort(client, 1), 0},
		{"another address", syn, netip.MustParseAddrPort("192.0.2.8:4444"), 0},
		{"another time", syn, client, 2 * cookieEpoch},
		{"another window", flip(syn, 8*8), client, 0},
		{"another cookie", flip(syn, 8*(4+40+keyLen+2)), client, 0},
	} {
		reply, opened, err := l.r.HandleSYN(start.Add(bad.at), bad.syn, bad.from, l.offer)
		if typ, _ := sal.PeekType(reply); err != nil || opened || typ != sal.TypeCookie {
			t.Errorf("a cookie for %s was accepted", bad.what)
		}
	}
	reply, opened, err = l.r.HandleSYN(start.Add(cookieEpoch), syn, client, l.offer)
	if err != nil || !opened {
		t.Fatalf("the SYN with its cookie is not accepted: %v", err)
	}
	if _, _, err := i.HandleSYNACK(start, reply); err != nil {
		t.Error(err)
	}
	forged := sal.Cookie{Flow: clientFlow, Cookie: []byte{1}} // has not seen the SYN
	_, err = i.HandleCookie(forged.Append(nil))
	wantErr(t, err, ErrForged)
}

// TestFairness: a full table makes room for another network at the expense of
// the one with most entries, and for that one at nobody's.
func TestFairness(t *testing.T) {
	table := newTable(8)
	admit := func(n byte, addr string) bool {
		return table.admit(&half{key: synKey{from: netip.MustParseAddrPort(addr), id: [32]byte{n}}, created: start.Add(time.Duration(n))})
	}
	for n := range byte(6) {
		admit(n, "198.51.100.1:1")
	}
	admit(6, "[2001:db8::1]:1")
	admit(7, "[2001:db8::2]:1")
	if admit(8, "198.51.100.9:1") {
		t.Error("the greediest network got even more")
	}
	for n := range byte(3) {
		if !admit(10+n, fmt.Sprintf("192.0.2.%d:1", n)) {
			t.Errorf("newcomer %d was turned away", n)
		}
	}
	for network, want := range map[string]int{"198.51.100.0/24": 3, "2001:db8::/48": 2, "192.0.2.0/24": 3} {
		if got := table.sources[netip.MustParsePrefix(network)]; got != want {
			t.Errorf("%s has %d entries, want %d", network, got, want)
		}
	}
	for key := range table.bySYN {
		if key.id[0] < 3 {
			t.Errorf("old entry %d stayed, a younger one went", key.id[0])
		}
	}
}

// TestConcurrentUse has many dials, duplicates and timeouts at once, for the
// race detector, and checks that each dial opens exactly one connection.
func TestConcurrentUse(t *testing.T) {
	l := newLab(t)
	var mu sync.Mutex
	l.offer.NewFlow = func() sal.FlowID {
		mu.Lock()
		defer mu.Unlock()
		l.flows++
		return l.flows
	}
	l.r.cfg.CookieThreshold = 1 << 20
	var wg sync.WaitGroup
	for n := range 8 {
		i := l.initiator()
		from := netipPort(client, uint16(n+1))
		replies := make(chan []byte, 2)
		for range 2 {
			wg.Go(func() {
				reply, _, err := l.r.HandleSYN(start, i.SYN(), from, l.offer)
				if err != nil {
					t.Error(err)
				}
				replies <- reply
			})
		}
		wg.Go(func() {
			reply := <-replies
			if reply == nil { // the copy that came while the first was worked out
				reply = <-replies
			}
			_, open, err := i.HandleSYNACK(start, reply)
			if err != nil {
				t.Error(err)
				return
			}
			opened := make(chan bool, 2)
			for range 2 {
				wg.Go(func() {
					s, _, _ := l.r.HandleOPEN(start, open)
					opened <- s != nil
				})
			}
			if a, b := <-opened, <-opened; a == b {
				t.Errorf("of two copies of an OPEN, %v and %v opened a connection", a, b)
			}
		})
		wg.Go(func() { l.r.Timeout(start); l.r.Deadline() })
	}
	wg.Wait()
}
