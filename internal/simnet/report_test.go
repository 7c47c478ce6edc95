package simnet

import (
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

// reports collects what s is told until take is called.
func reports(s underlay.Socket) (take func() []underlay.Unreachable) {
	got := make(chan underlay.Unreachable, 16)
	s.(underlay.ErrorReporter).OnUnreachable(func(u underlay.Unreachable) {
		u.Quoted = append([]byte(nil), u.Quoted...)
		got <- u
	})
	return func() (all []underlay.Unreachable) {
		synctest.Wait()
		for len(got) > 0 {
			all = append(all, <-got)
		}
		return all
	}
}

func TestPortUnreachable(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, atB *log) {
		n.Path(addrA, addrB).Set(Params{Delay: 10 * ms})
		n.Path(addrB, addrA).Set(Params{Delay: 5 * ms})
		host := b.(*socket).host
		take := reports(a)
		gone := netip.AddrPortFrom(addrB, 9)
		send(t, a, "helloworld!", 5, gone)
		send(t, a, "fine", 4, b.LocalAddr())
		time.Sleep(15*ms - 1)
		if got := take(); got != nil {
			t.Errorf("%+v before it could be", got)
		}
		time.Sleep(time.Nanosecond)
		want := []underlay.Unreachable{{To: gone, Quoted: []byte("hello"), Port: true}}
		if got := take(); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v", got)
		}
		if got := atB.wait(0); len(got) != 1 {
			t.Error(got)
		}

		// Nobody tells of these.
		host.SetSilent(true)
		send(t, a, "1", 1, gone)
		time.Sleep(time.Second)
		host.SetSilent(false)
		host.Interface(addrB).SetUp(false)
		send(t, a, "2", 1, gone)
		time.Sleep(time.Second)
		host.Interface(addrB).SetUp(true)
		n.Path(addrB, addrA).Update(func(p *Params) { p.Blackhole = true })
		send(t, a, "3", 1, gone)
		time.Sleep(time.Second)
		n.Path(addrB, addrA).Set(Params{})
		// Nobody is left to be told, or wants to be.
		n.Inject(netip.AddrPortFrom(addrA, 99), gone, []byte("4"))
		time.Sleep(time.Second)
		if got := take(); got != nil {
			t.Errorf("%+v", got)
		}
		a.(underlay.ErrorReporter).OnUnreachable(nil)
		send(t, a, "5", 1, gone)
		time.Sleep(time.Second)
	})
}

// Reports pass NATs as the answers to the datagrams would.
func TestUnreachableThroughNAT(t *testing.T) {
	for _, kind := range []NATKind{FullCone, Restricted, Symmetric} {
		synctest.Test(t, func(t *testing.T) {
			n := New(1)
			defer n.Close()
			private := netip.MustParseAddr("10.0.0.1")
			other := netip.MustParseAddr("10.0.0.2")
			nat := n.NAT(netip.MustParseAddr("203.0.113.1"), kind)
			in, _ := listen(t, nat.Host(private), private, 1)
			nat.Host(other)
			out, at := listen(t, n.Host(addrA), addrA, 2)
			fromIn, fromOut := reports(in), reports(out)

			for _, gone := range []netip.AddrPort{netip.AddrPortFrom(addrA, 9), netip.AddrPortFrom(other, 9)} {
				send(t, in, "x", 1, gone)
				want := []underlay.Unreachable{{To: gone, Quoted: []byte("x"), Port: true}}
				if got := fromIn(); !reflect.DeepEqual(got, want) {
					t.Errorf("%v: %+v", kind, got)
				}
			}

			// The process behind the NAT ends; its mapping stays.
			send(t, in, "hello", 5, out.LocalAddr())
			synctest.Wait()
			public := at.all[0].from
			in.Close()
			send(t, out, "gone?", 5, public)
			want := []underlay.Unreachable{{To: public, Quoted: []byte("gone?"), Port: true}}
			if got := fromOut(); !reflect.DeepEqual(got, want) {
				t.Errorf("%v: %+v", kind, got)
			}
		})
	}
}

func TestInjectUnreachable(t *testing.T) {
	pair(t, func(n *Network, a, b underlay.Socket, _ *log) {
		take := reports(a)
		want := []underlay.Unreachable{
			{To: b.LocalAddr(), Quoted: make([]byte, 512), MTU: 1200},
			{To: b.LocalAddr()},
		}
		sent := want[0]
		sent.Quoted = make([]byte, 2000)
		n.SetPath(addrA, addrB, Params{Delay: ms, Loss: 1e-9, Rate: 1e9})
		n.InjectUnreachable(a.LocalAddr(), sent)
		n.InjectUnreachable(a.LocalAddr(), want[1])
		time.Sleep(time.Second)
		if got := take(); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v", got)
		}
	})
}
