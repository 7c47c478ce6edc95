package simnet

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/serval-net/serval/internal/underlay"
)

func TestAddressesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		defer n.Close()
		second := netip.MustParseAddr("198.51.100.1")
		six := netip.MustParseAddr("2001:db8::1")
		h := n.Host(addrA, second)
		h.Interface(second).Add(six)
		s, at := listen(t, h, second, 1)
		peer, atPeer := listen(t, n.Host(addrB), addrB, 2)
		calls := 0
		stop, err := h.Watch(func() { calls++ })
		if err != nil {
			t.Fatal(err)
		}
		noticed := func(what string) {
			t.Helper()
			synctest.Wait()
			if calls != 1 {
				t.Errorf("%s: called %d times", what, calls)
			}
			calls = 0
		}
		works := func(what string) {
			t.Helper()
			send(t, s, "out", 3, peer.LocalAddr())
			send(t, peer, "in", 2, s.LocalAddr())
			if out, in := atPeer.wait(0), at.wait(0); len(out) != 1 || len(in) != 1 {
				t.Errorf("%s: %q out, %q in", what, out, in)
			}
		}
		fails := func(what string) {
			t.Helper()
			send(t, peer, "in", 2, s.LocalAddr())
			if err := s.Send([]byte("out"), 3, peer.LocalAddr()); !errors.Is(err, syscall.ENETUNREACH) {
				t.Errorf("%s: %v", what, err)
			}
			if in := at.wait(0); len(in) != 0 {
				t.Errorf("%s: %q in", what, in)
			}
		}
		check := func(want ...underlay.Interface) {
			t.Helper()
			got, _ := h.Interfaces()
			if !slices.EqualFunc(got, want, func(a, b underlay.Interface) bool {
				return a.Name == b.Name && a.Index == b.Index && a.MTU == b.MTU && a.Running == b.Running && slices.Equal(a.Addrs, b.Addrs)
			}) {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		if0 := underlay.Interface{Name: "if0", Index: 1, Addrs: []netip.Addr{addrA}, MTU: 1500, Running: true}
		if1 := underlay.Interface{Name: "if1", Index: 2, Addrs: []netip.Addr{second, six}, MTU: 1500, Running: true}
		check(if0, if1)

		h.Remove(second)
		h.Remove(second)
		noticed("removed")
		fails("removed")
		if1.Addrs = []netip.Addr{six}
		check(if0, if1)

		if h.Add(second) != h.Interface(six) {
			t.Error("back on another interface")
		}
		noticed("back")
		works("back")

		h.Interface(second).SetUp(false)
		h.Interface(second).SetUp(false)
		noticed("down")
		fails("down")
		if1 = underlay.Interface{Name: "if1", Index: 2, Addrs: []netip.Addr{six, second}, MTU: 1500}
		check(if0, if1)
		h.Interface(second).SetUp(true)
		noticed("up")
		works("up")

		stop()
		stop()
		h.Remove(addrA)
		synctest.Wait()
		if calls != 0 {
			t.Error("called after the end")
		}
		h.Watch(func() {}) // ended by the network
	})
}
