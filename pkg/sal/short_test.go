package sal

import (
	"bytes"
	"errors"
	"testing"
)

func TestShortRoundTrip(t *testing.T) {
	for _, typ := range []Type{TypeData, TypeFIN, TypeAck, TypeRSYN, TypeRST, TypeProbe, TypeDgram} {
		want := Short{Type: typ, Frames: true, Phase: 1, Flow: 0xdeadbeef, PN: 0xabcdef, Len: ShortHeaderLen}
		b := AppendShort(nil, typ, true, 1, want.Flow, 0x77abcdef)
		if typ <= TypeFIN {
			want.Offset, want.Len = 0x89abcdef, DataHeaderLen
			b = AppendData(nil, typ, true, 1, want.Flow, 0x77abcdef, 0x123489abcdef)
		}
		if len(b) != want.Len {
			t.Errorf("%v: header of %d bytes, want %d", typ, len(b), want.Len)
		}
		if got, err := ParseShort(append(b, "sealed"...)); err != nil || got != want {
			t.Errorf("%v: got %+v, %v; want %+v", typ, got, err, want)
		}
	}
}

func TestShortErrors(t *testing.T) {
	data := AppendData(nil, TypeData, false, 0, 1, 2, 3)
	other := bytes.Clone(data)
	other[0] |= 2 << 6
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrMalformed},
		{"short header cut", AppendShort(nil, TypeAck, false, 0, 1, 2)[:ShortHeaderLen-1], ErrMalformed},
		{"offset cut", data[:DataHeaderLen-1], ErrMalformed},
		{"undefined type 7", AppendShort(nil, 7, false, 0, 1, 2), ErrMalformed},
		{"long packet", (&SYN{Flow: 1}).Append(nil), ErrMalformed},
		{"version 3", other, ErrVersion},
		{"version 0", make([]byte, 20), ErrVersion},
	} {
		if _, err := ParseShort(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestVersionError checks that the error names both versions.
func TestVersionError(t *testing.T) {
	_, err := PeekType([]byte{2 << 6})
	const want = "sal: packet has version 2, this node speaks version 1; update this node"
	if !errors.Is(err, ErrVersion) || errors.Is(err, ErrMalformed) || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestPeekFlow(t *testing.T) {
	const flow = 0x01020304
	for _, tt := range []struct {
		typ Type
		b   []byte
		ok  bool
	}{
		{TypeData, AppendData(nil, TypeData, false, 0, flow, 0, 0), true},
		{TypeProbe, AppendShort(nil, TypeProbe, false, 0, flow, 0), true},
		{TypeSYN, (&SYN{Flow: flow}).Append(nil), false},
		{TypeSYNACK, (&SYNACK{Flow: flow}).Append(nil), true},
		{TypeOpen, (&Open{Flow: flow}).Append(nil), true},
		{TypeRefuse, (&Refuse{Flow: flow}).Append(nil), true},
		{TypeCookie, (&Cookie{Flow: flow}).Append(nil), true},
		{TypeJoin, (&Join{Flow: flow}).Append(nil), true},
		{TypeJoinAck, (&Join{Ack: true, Flow: flow}).Append(nil), true},
		{TypeDatagram, (&Datagram{Source: flow}).Append(nil), false},
	} {
		if typ, err := PeekType(tt.b); typ != tt.typ || err != nil {
			t.Errorf("PeekType of %v = %v, %v", tt.typ, typ, err)
		}
		if got, ok := PeekFlow(tt.b); ok != tt.ok || ok && got != flow {
			t.Errorf("PeekFlow of %v = %v, %v", tt.typ, got, ok)
		}
		for n := range tt.b[:2] {
			if _, ok := PeekFlow(tt.b[:n]); ok {
				t.Errorf("PeekFlow of %d bytes of %v found a flow", n, tt.typ)
			}
		}
	}
}

func TestSplitFrames(t *testing.T) {
	frames, payload, err := SplitFrames([]byte("\x00\x02ffpayload"))
	if string(frames) != "ff" || string(payload) != "payload" || err != nil {
		t.Errorf("got %q, %q, %v", frames, payload, err)
	}
	if _ = append(frames, 'x'); payload[0] != 'p' {
		t.Error("appending to the frames overwrites the payload")
	}
	for _, bad := range []string{"", "\x00", "\x00\x01", "\xff\xffx"} {
		if _, _, err := SplitFrames([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

func FuzzParseShort(f *testing.F) {
	f.Add(AppendData(nil, TypeData, true, 1, 5, 6, 7))
	f.Add(AppendShort(nil, TypeAck, false, 0, 5, 6))
	f.Add([]byte{0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseShort(b)
		if err != nil {
			return
		}
		again := AppendShort(nil, s.Type, s.Frames, s.Phase, s.Flow, uint64(s.PN))
		if s.Len == DataHeaderLen {
			again = AppendData(nil, s.Type, s.Frames, s.Phase, s.Flow, uint64(s.PN), uint64(s.Offset))
		}
		if !bytes.Equal(again, b[:s.Len]) {
			t.Fatalf("%x parses as %+v, which is %x", b[:s.Len], s, again)
		}
		if flow, ok := PeekFlow(b); !ok || flow != s.Flow {
			t.Fatalf("PeekFlow = %v, %v; ParseShort says %v", flow, ok, s.Flow)
		}
	})
}

func FuzzSplitFrames(f *testing.F) {
	f.Add([]byte("\x00\x02ffpayload"))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, payload, err := SplitFrames(b)
		if err == nil && (len(frames) != int(b[0])<<8|int(b[1]) || !bytes.Equal(b[2:], append(frames, payload...))) {
			t.Fatalf("%x splits into %x and %x", b, frames, payload)
		}
	})
}
