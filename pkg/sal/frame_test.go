package sal

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// appendFrame appends f as its own appender does.
func appendFrame(b []byte, f *Frame) []byte {
	switch f.Type {
	case FramePad:
		return AppendPad(b, 1)
	case FramePing:
		return AppendPing(b)
	case FrameAck:
		return AppendAck(b, f.Ack.Flow, f.Ack.Delay, f.Ack.Ranges[:f.Ack.N])
	case FrameWindow:
		return AppendWindow(b, f.Offset)
	case FrameBlocked:
		return AppendBlocked(b, f.Offset)
	case FrameAckEvery:
		return AppendAckEvery(b, f.Every)
	case FrameReset:
		return AppendReset(b, f.Code, string(f.Reason))
	case FrameChallenge:
		return AppendChallenge(b, f.Data)
	case FrameResponse:
		return AppendResponse(b, f.Data)
	case FrameRSYN:
		return AppendRSYN(b, f.RSYN)
	case FramePaths:
		return AppendPaths(b, &f.Paths)
	}
	panic("no appender for " + f.Type.String())
}

// someFrames has one frame of every type and shape.
func someFrames() []Frame {
	full := AckFrame{Flow: 255, Delay: time.Minute, N: MaxAckRanges}
	for i := range full.Ranges {
		last := uint64(1<<40 - i*1000)
		full.Ranges[i] = PNRange{last - uint64(i), last}
	}
	return []Frame{
		{Type: FramePad},
		{Type: FramePing},
		{Type: FrameAck, Ack: AckFrame{N: 1}},
		{Type: FrameAck, Ack: AckFrame{Flow: 3, Delay: 250 * time.Microsecond, N: 2, Ranges: [64]PNRange{{7, 9}, {0, 5}}}},
		{Type: FrameAck, Ack: full},
		{Type: FrameWindow, Offset: 1 << 20},
		{Type: FrameBlocked, Offset: maxVarint},
		{Type: FrameAckEvery},
		{Type: FrameAckEvery, Every: AckEvery{Flow: 2, Bytes: 1 << 17, Delay: time.Millisecond}},
		{Type: FrameReset, Code: 9, Reason: []byte("déjà fermé")},
		{Type: FrameReset, Reason: []byte{}},
		{Type: FrameChallenge, Data: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}},
		{Type: FrameResponse, Data: [8]byte{8, 7, 6, 5, 4, 3, 2, 1}},
		{Type: FrameRSYN, RSYN: RSYNFrame{Verno: 300, Flow: 0xcafe, Index: 2, Nonce: [8]byte{9}}},
		{Type: FramePaths},
		{Type: FramePaths, Paths: PathsFrame{Revision: 300, Mode: 2, NFlows: 2, Flows: [MaxPathFlows]FlowCost{{0, 10}, {3, NeverCost}}, NAddrs: 2,
			Addrs: [MaxPathAddrs]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7000"), netip.MustParseAddrPort("[2001:db8::1]:7000")}}},
	}
}

func TestFrameRoundTrip(t *testing.T) {
	for _, want := range someFrames() {
		b := appendFrame(nil, &want)
		var got Frame
		n, err := ParseFrame(append(b, byte(FramePing)), &got) // what follows stays out
		if n != len(b) || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: parsed %d of %d bytes, %v\ngot  %+v\nwant %+v", want.Type, n, len(b), err, got, want)
		}
		for i := range b {
			if _, err := ParseFrame(b[:i], &got); !errors.Is(err, ErrMalformed) {
				t.Errorf("%v: its first %d bytes parse: %v", want.Type, i, err)
			}
		}
	}
}

func TestFrameErrors(t *testing.T) {
	for _, tt := range []struct{ name, b, want string }{
		{"unknown type", "\x0c", "frame type"},
		{"ack of more than 64 ranges", "\x02\x00\x7f\xff\x00\x40\x40\x00" + strings.Repeat("\x00\x00", 64), "64 ranges"},
		{"ack of a vast count", "\x02\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00", "64 ranges"},
		{"ack whose first range is too long", "\x02\x00\x05\x00\x00\x06", "below packet number 0"},
		{"ack whose gap is too long", "\x02\x00\x05\x00\x01\x00\x04\x00", "below packet number 0"},
		{"ack whose gap wraps", "\x02\x00\x05\x00\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00", "below packet number 0"},
		{"ack whose second range is too long", "\x02\x00\x05\x00\x01\x00\x00\x04", "below packet number 0"},
		{"reset with a reason that is not text", "\x04\x00\x01\xff", "UTF-8"},
		{"address of 5 bytes", "\x08\x01\x00\x00\x01\x05\x01\x02\x03\x04\x05\x00\x50", "address"},
		{"IPv4-mapped address", "\x08\x01\x00\x00\x01\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x01\x02\x03\x04\x00\x50", "address"},
		{"too many addresses", "\x08\x01\x00\x00\x11" + strings.Repeat("\x04\x01\x02\x03\x04\x00\x50", 17), "PATHS"},
		{"too many flows", "\x08\x01\x00\x11" + strings.Repeat("\x01\x00", 17) + "\x00", "PATHS"},
		{"move to flow 0", "\x07\x00\x00\x00\x00\x00\x00" + "12345678", "flow ID is 0"},
	} {
		var f Frame
		if _, err := ParseFrame([]byte(tt.b), &f); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestAppendAckBounds(t *testing.T) {
	if b := AppendAck(nil, 0, 0, nil); len(b) != 0 {
		t.Errorf("an ACK of nothing is %x", b)
	}
	ranges := make([]PNRange, 100)
	for i := range ranges {
		pn := uint64(1000 - 2*i)
		ranges[i] = PNRange{pn, pn}
	}
	var f Frame
	b := AppendAck(nil, 1, -time.Second, ranges)
	if _, err := ParseFrame(b, &f); err != nil || f.Ack.N != MaxAckRanges || f.Ack.Delay != 0 || f.Ack.Ranges[63] != ranges[63] {
		t.Errorf("of 100 ranges %d arrive, delay %v, %v", f.Ack.N, f.Ack.Delay, err)
	}
}

func TestAppendResetReason(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{strings.Repeat("a", 300), strings.Repeat("a", 255)},
		{strings.Repeat("é", 200), strings.Repeat("é", 127)},
		{"ok\xffno", "ok"},
	} {
		var f Frame
		if _, err := ParseFrame(AppendReset(nil, 1, tt.in), &f); err != nil || string(f.Reason) != tt.want {
			t.Errorf("reason of %d bytes arrives as %q, %v", len(tt.in), f.Reason, err)
		}
	}
}

func TestPadRun(t *testing.T) {
	var f Frame
	if n, err := ParseFrame(append(AppendPad(nil, 1000), byte(FramePing)), &f); n != 1000 || err != nil {
		t.Errorf("a run of 1000 PAD parses as %d bytes, %v", n, err)
	}
}

func TestPathsAddressForms(t *testing.T) {
	with := func(a string) []byte {
		return AppendPaths(nil, &PathsFrame{NAddrs: 1, Addrs: [MaxPathAddrs]netip.AddrPort{netip.MustParseAddrPort(a)}})
	}
	if a, b := with("[::ffff:192.0.2.1]:80"), with("192.0.2.1:80"); !bytes.Equal(a, b) {
		t.Errorf("one address has two encodings, %x and %x", a, b)
	}
}

func FuzzParseFrame(f *testing.F) {
	for _, fr := range someFrames() {
		f.Add(appendFrame(nil, &fr))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var first, second Frame
		n, err := ParseFrame(b, &first)
		if err != nil {
			return
		}
		if n < 1 || n > len(b) {
			t.Fatalf("parsed %d of %d bytes", n, len(b))
		}
		again := appendFrame(nil, &first)
		if len(again) > n {
			t.Fatalf("%x grew to %x", b[:n], again)
		}
		if m, err := ParseFrame(again, &second); m != len(again) || err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%+v appends as %x, which parses as %+v, %v", first, again, second, err)
		}
	})
}
