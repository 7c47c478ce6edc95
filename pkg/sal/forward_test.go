package sal

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func hop(n int) Source {
	return Source{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 7000), [8]byte{byte(n)}}
}

// pads is PAD extensions of the lengths given, in all.
func pads(lens ...int) (e Extensions) {
	for _, n := range lens {
		e = append(append(e, byte(ExtPad), byte(n-2)), make([]byte, n-2)...)
	}
	return e
}

// TestForwardSYN passes SYNs of many shapes through as many routers as there may
// be. What the handshake binds must stay, and so must other extensions.
func TestForwardSYN(t *testing.T) {
	cookie := []byte{byte(ExtCookie), 3, 'a', 'b', 'c'}
	port := []byte{byte(ExtPort), 2, 0, 80}
	full := func(n int) (e Extensions) {
		for i := range n {
			e = append(e, byte(100+2*i), 0)
		}
		return e
	}
	for _, tt := range []struct {
		name  string
		ext   Extensions
		grows bool
	}{
		{"no padding needed", nil, true},
		{"as dialled", pads(257, 257, 257, 177), false},
		{"padding just fits", append(pads(30), full(5)...), true},
		{"padding too small", pads(2, 20, 3), true},
		{"cookie before", append(slices.Clone(cookie), pads(257, 100)...), true},
		{"cookie behind", append(pads(257, 100), cookie...), true},
		{"port before", append(slices.Clone(port), pads(257, 257, 257, 173)...), false},
		{"port behind", append(pads(30), port...), true},
		{"15 others", full(15), true},
	} {
		syn := SYN{HopLimit: 200, Flow: 7, Service: MustParseName("svc:a").ServiceID(), Noise: bytes.Repeat([]byte{9}, 32), Extensions: tt.ext}
		want := syn.AppendPrologue(nil)
		pkt := syn.Append(nil)
		size := len(pkt)
		var way []Source
		for i := range MaxSources {
			out, ok := ForwardSYN(pkt, hop(i), make([]byte, 0, 2048))
			if !ok {
				t.Fatalf("%s: router %d could not forward", tt.name, i)
			}
			way = append(way, hop(i))
			got, err := ParseSYN(out)
			if err != nil {
				t.Fatalf("%s: after router %d: %v", tt.name, i, err)
			}
			if s := got.Extensions.Sources(nil); !slices.Equal(s, way) {
				t.Fatalf("%s: SOURCE is %v, want %v", tt.name, s, way)
			}
			if !bytes.Equal(got.AppendPrologue(nil), want) || !bytes.Equal(got.Noise, syn.Noise) || got.HopLimit != 200-byte(i)-1 {
				t.Fatalf("%s: router %d changed %+v", tt.name, i, got)
			}
			if !sameOthers(got.Extensions, tt.ext) {
				t.Fatalf("%s: router %d changed the other extensions: %x", tt.name, i, got.Extensions)
			}
			if len(out) != size && !tt.grows {
				t.Fatalf("%s: router %d made %d bytes of %d", tt.name, i, len(out), size)
			}
			pkt = out
		}
		if _, ok := ForwardSYN(pkt, hop(9), nil); ok {
			t.Errorf("%s: forwarded by one more router than SOURCE has room for", tt.name)
		}
	}
	last := SYN{Flow: 7, Noise: make([]byte, 32)}
	if _, ok := ForwardSYN(last.Append(nil), hop(1), nil); ok {
		t.Error("forwarded with a hop limit of 0")
	}
	crowded := SYN{HopLimit: 2, Flow: 7, Noise: make([]byte, 32), Extensions: full(16)}
	if _, ok := ForwardSYN(crowded.Append(nil), hop(1), nil); ok {
		t.Error("forwarded with more extensions than a packet may have")
	}
}

// sameOthers compares extensions other than PAD and SOURCE.
func sameOthers(a, b Extensions) bool {
	list := func(e Extensions) (out []string) {
		for t, v := range e.All() {
			if t != ExtSource {
				out = append(out, fmt.Sprint(t, v))
			}
		}
		return out
	}
	return slices.Equal(list(a), list(b))
}

func TestQuotedSYN(t *testing.T) {
	syn := SYN{HopLimit: 3, Flow: 7, Service: MustParseName("svc:a").ServiceID(), Noise: bytes.Repeat([]byte{9}, 32), Extensions: pads(257, 40)}
	pkt, _ := ForwardSYN(syn.Append(nil), hop(1), nil)
	want := AppendSource(nil, hop(1))
	for n := range len(pkt) {
		got, source := QuotedSYN(pkt[:n])
		if whole := n >= synHead+32+2+sourceLen; whole != bytes.Equal(source, want) || !whole && source != nil {
			t.Fatalf("of %d bytes, SOURCE is %x", n, source)
		}
		if source != nil && (got.Flow != 7 || got.Service != syn.Service || got.Echo() != syn.Echo()) {
			t.Fatalf("of %d bytes: %+v", n, got)
		}
	}
}

func FuzzForwardSYN(f *testing.F) {
	f.Add((&SYN{HopLimit: 3, Flow: 7, Noise: make([]byte, 32), Extensions: pads(257, 40)}).Append(nil))
	f.Add((&SYN{HopLimit: 3, Flow: 7, Noise: make([]byte, 32), Extensions: append(Extensions{byte(ExtPort), 2, 0, 80}, pads(257, 40)...)}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		QuotedSYN(b)
		syn, err := ParseSYN(b)
		if err != nil {
			return
		}
		pro, noise, ext := syn.AppendPrologue(nil), bytes.Clone(syn.Noise), bytes.Clone(syn.Extensions)
		before := Extensions(ext).Sources(nil)
		out, ok := ForwardSYN(b, hop(1), nil)
		if !ok {
			return
		}
		got, err := ParseSYN(out)
		if err != nil {
			t.Fatalf("forwarded, it does not parse: %v", err)
		}
		if !bytes.Equal(got.AppendPrologue(nil), pro) || !bytes.Equal(got.Noise, noise) || !sameOthers(got.Extensions, ext) ||
			!slices.Equal(got.Extensions.Sources(nil), append(before, hop(1))) {
			t.Fatalf("%x became %x", ext, got.Extensions)
		}
	})
}

func TestBack(t *testing.T) {
	way := AppendSource(AppendSource(nil, hop(1)), hop(2))
	p := Back{Origin: netip.MustParseAddrPort("[2001:db8::1]:7001"), Way: way, Packet: []byte("answer")}
	b := p.Append(nil)
	got, err := ParseBack(b)
	if err != nil || got.Origin != p.Origin || string(got.Packet) != "answer" {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, want := range []Source{hop(2), hop(1)} {
		s, rest, ok := got.Last()
		if !ok || s != want {
			t.Fatalf("last is %v, %v, want %v", s, ok, want)
		}
		if got, err = ParseBack(rest.Append(nil)); err != nil || string(got.Packet) != "answer" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if _, _, ok := got.Last(); ok {
		t.Error("an entry where there is none")
	}
	for n := range 1 + addrLen + len(way) {
		if _, err := ParseBack(b[:n]); err == nil {
			t.Errorf("parsed when cut to %d bytes", n)
		}
	}
	b[0] = MaxSources + 1
	if _, err := ParseBack(append(b, make([]byte, 1000)...)); err == nil {
		t.Error("parsed with too many entries")
	}
}

func FuzzParseBack(f *testing.F) {
	f.Add((&Back{Origin: hop(1).Addr, Way: AppendSource(nil, hop(1)), Packet: []byte("x")}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseBack(b)
		if err == nil && !bytes.Equal(p.Append(nil), b) && p.Origin.Addr().Is6() {
			t.Fatalf("%x became %x", b, p.Append(nil))
		}
	})
}

func BenchmarkForwardSYN(b *testing.B) {
	syn := SYN{HopLimit: 255, Flow: 7, Noise: make([]byte, 32), Extensions: pads(257, 257, 257, 177)}
	fresh := syn.Append(nil)
	pkt := bytes.Clone(fresh)
	b.ReportAllocs()
	for b.Loop() {
		copy(pkt, fresh[:200])
		if _, ok := ForwardSYN(pkt, hop(1), nil); !ok {
			b.Fatal("not forwarded")
		}
	}
}
