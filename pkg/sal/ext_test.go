package sal

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
)

// synWith returns a SYN whose extensions are the given bytes, unchecked.
func synWith(ext []byte) []byte {
	p := SYN{Flow: 1, Noise: make([]byte, 32), Extensions: ext}
	return p.Append(nil)
}

func TestExtensions(t *testing.T) {
	var e Extensions
	var err error
	want := []Source{
		{netip.MustParseAddrPort("192.0.2.1:7000"), [8]byte{1, 2, 3}},
		{netip.MustParseAddrPort("[2001:db8::1]:7001"), [8]byte{4}},
	}
	source := AppendSource(AppendSource(nil, want[0]), want[1])
	port := AppendPort(nil, 8443)
	via := Via{netip.MustParseAddrPort("192.0.2.2:7002"), [8]byte{5}}
	for _, add := range []struct {
		t ExtType
		v []byte
	}{{ExtCookie, []byte("oatmeal")}, {ExtPad, make([]byte, 9)}, {200, []byte("new")}, {ExtSource, source}, {ExtVia, AppendVia(nil, via)}, {ExtPort, port}} {
		if e, err = e.Add(add.t, add.v); err != nil {
			t.Fatal(err)
		}
	}
	p, err := ParseSYN(synWith(e))
	if err != nil {
		t.Fatal(err)
	}
	var types []ExtType
	for typ := range p.Extensions.All() {
		types = append(types, typ)
	}
	if !slices.Equal(types, []ExtType{ExtCookie, 200, ExtSource, ExtVia, ExtPort}) {
		t.Errorf("types %v", types)
	}
	if v, ok := p.Extensions.Get(ExtCookie); !ok || string(v) != "oatmeal" {
		t.Errorf("cookie %q, %v", v, ok)
	}
	if _, ok := p.Extensions.Get(ExtTrace); ok {
		t.Error("found an extension that is not there")
	}
	if got := p.Extensions.Sources(nil); !slices.Equal(got, want) {
		t.Errorf("sources %v, want %v", got, want)
	}
	if got, ok := p.Extensions.Via(); !ok || got != via {
		t.Errorf("via %v, %v, want %v", got, ok, via)
	}
	if got := p.Extensions.Port(); got != 8443 {
		t.Errorf("port %d", got)
	}
	if got := (Extensions)(nil).Port(); got != 0 {
		t.Errorf("port %d where there is none", got)
	}
	if got, ok := (Extensions)(nil).Via(); ok {
		t.Errorf("via %v where there is none", got)
	}
}

func TestExtensionErrors(t *testing.T) {
	many := func(n int) (b []byte) {
		for i := range n {
			b = append(b, byte(100+2*i), 0)
		}
		return b
	}
	tlv := func(t ExtType, n int) []byte { return append([]byte{byte(t), byte(n)}, make([]byte, n)...) }
	for _, tt := range []struct {
		name string
		ext  []byte
		want error
	}{
		{"16 extensions", many(16), nil},
		{"17 extensions", many(17), ErrMalformed},
		{"unknown even type", tlv(254, 255), nil},
		{"unknown odd type", tlv(255, 0), ErrVersion},
		{"the same type twice", append(tlv(100, 1), tlv(100, 1)...), ErrMalformed},
		{"PAD twice", append(tlv(ExtPad, 200), tlv(ExtPad, 200)...), nil},
		{"empty cookie", tlv(ExtCookie, 0), ErrMalformed},
		{"longest cookie", tlv(ExtCookie, MaxCookie), nil},
		{"cookie too long", tlv(ExtCookie, MaxCookie+1), ErrMalformed},
		{"8 sources", tlv(ExtSource, 8*sourceLen), nil},
		{"9 sources", tlv(ExtSource, 9*sourceLen), ErrMalformed},
		{"half a source", tlv(ExtSource, sourceLen/2), ErrMalformed},
		{"8 to avoid", tlv(ExtAvoid, 8*addrLen), nil},
		{"9 to avoid", tlv(ExtAvoid, 9*addrLen), ErrMalformed},
		{"half an address to avoid", tlv(ExtAvoid, addrLen/2), ErrMalformed},
		{"half a via", tlv(ExtVia, viaLen/2), ErrMalformed},
		{"port", tlv(ExtPort, portLen), nil},
		{"half a port", tlv(ExtPort, 1), ErrMalformed},
		{"no port in PORT", tlv(ExtPort, 0), ErrMalformed},
		{"two ports", tlv(ExtPort, 2*portLen), ErrMalformed},
		{"PORT twice", append(tlv(ExtPort, portLen), tlv(ExtPort, portLen)...), ErrMalformed},
	} {
		if _, err := ParseSYN(synWith(tt.ext)); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
	var e Extensions
	if _, err := e.Add(ExtTrace, make([]byte, 256)); err == nil {
		t.Error("a value of 256 bytes was added")
	}
	if got, err := e.Add(ExtCookie, nil); err == nil || len(got) != 0 {
		t.Errorf("an empty cookie was added: %x, %v", got, err)
	}
}

// TestOversizedExtensions is the hole of the 2012 prototype, which read the
// fields of an extension before it bounded the extension's length by what was
// left of the packet. Here every length that points beyond the packet, at any
// place of a chain, is an error, and the bytes behind the packet stay unread.
func TestOversizedExtensions(t *testing.T) {
	secret := bytes.Repeat([]byte{0xee}, 1024)
	whole := []byte{byte(ExtCookie), 4, 'a', 'b', 'c', 'd', 200, 3, 'x', 'y', 'z', byte(ExtPad), 2, 0, 0}
	ends := []int{0, 6, 11, 15} // where an extension ends

	// Extensions live at the end of a SYN and, behind a length, in SYNACK and JOIN.
	packets := map[string]struct {
		build func(ext []byte) []byte
		parse func(b []byte) (Extensions, error)
	}{
		"SYN": {
			func(ext []byte) []byte {
				return (&SYN{Flow: 1, Noise: make([]byte, 240), Extensions: ext}).Append(nil)
			},
			func(b []byte) (Extensions, error) { p, err := ParseSYN(b); return p.Extensions, err },
		},
		"SYNACK": {
			func(ext []byte) []byte { return (&SYNACK{Source: 1, Extensions: ext}).Append(nil) },
			func(b []byte) (Extensions, error) { p, err := ParseSYNACK(b); return p.Extensions, err },
		},
		"JOIN": {
			func(ext []byte) []byte { return (&Join{Source: 1, Extensions: ext}).Append(nil) },
			func(b []byte) (Extensions, error) { p, err := ParseJoin(b); return p.Extensions, err },
		},
	}
	for name, p := range packets {
		for cut := range len(whole) + 1 {
			b := p.build(whole[:cut])
			memory := append(bytes.Clone(b), secret...) // a bad parser would run on into this
			e, err := p.parse(memory[:len(b)])
			if slices.Contains(ends, cut) {
				if err != nil || !bytes.Equal(e, whole[:cut]) {
					t.Errorf("%s: whole extensions of %d bytes: %x, %v", name, cut, e, err)
				}
			} else if !errors.Is(err, ErrMalformed) || len(e) != 0 {
				t.Errorf("%s: extensions cut at %d: %x, %v", name, cut, e, err)
			}
		}
		for _, at := range []int{1, 7, 12} {
			ext := bytes.Clone(whole)
			ext[at] = 255
			if e, err := p.parse(p.build(ext)); !errors.Is(err, ErrMalformed) || len(e) != 0 {
				t.Errorf("%s: length 255 at %d: %x, %v", name, at, e, err)
			}
		}
	}

	// The total length of a SYNACK's extensions is a lie of its own.
	b := (&SYNACK{Source: 1, Extensions: whole}).Append(nil)
	for _, n := range []byte{byte(len(whole)) + 1, 255} {
		b[len(b)-len(whole)-1] = n
		if _, err := ParseSYNACK(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("a total of %d for %d bytes: %v", n, len(whole), err)
		}
	}

	// Walking bytes that were never checked stops at the first lie, too.
	for typ, v := range (Extensions{200, 9, 'x'}).All() {
		t.Errorf("an extension cut short was returned: %d %q", typ, v)
	}
}
