package sal

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

// longPackets has one of each long packet with all its fields set, and how to
// parse it.
func longPackets() []longPacket {
	noise := bytes.Repeat([]byte{0xab}, 32)
	ext := Extensions{byte(ExtCookie), 3, 'a', 'b', 'c'}
	echo := [16]byte{1, 2, 3}
	service := MustParseName("svc:shop/cart").ServiceID()
	return []longPacket{
		{&SYN{true, true, 7, 0x11223344, 1 << 20, service, noise, append(ext, padTo(256, 44+32+5)...)}, parser(ParseSYN)},
		{&SYNACK{true, 1, 2, 1 << 20, bytes.Repeat(noise, 10), ext}, parser(ParseSYNACK)},
		{&Open{1, bytes.Repeat(noise, 10), AppendShort(nil, TypeAck, false, 0, 1, 0)}, parser(ParseOpen)},
		{&Refuse{1, Overloaded, 1500 * time.Millisecond, echo}, parser(ParseRefuse)},
		{&Cookie{1, echo, bytes.Repeat(noise, 2)}, parser(ParseCookie)},
		{&Join{false, 1, 2, 3, [16]byte{4}, [16]byte{5}, ext}, parser(ParseJoin)},
		{&Join{true, 1, 2, 3, [16]byte{4}, [16]byte{5}, ext}, parser(ParseJoin)},
		{&Datagram{1, service, noise}, parser(ParseDatagram)},
	}
}

type appender interface{ Append(b []byte) []byte }

type longPacket struct {
	want  appender
	parse func(b []byte) (appender, error)
}

// parser gives the parsers of all types one signature.
func parser[T any, P interface {
	*T
	appender
}](parse func([]byte) (T, error)) func([]byte) (appender, error) {
	return func(b []byte) (appender, error) {
		p, err := parse(b)
		return P(&p), err
	}
}

// padTo is the PAD that fills a packet of n bytes up to size.
func padTo(size, n int) Extensions {
	return append(Extensions{byte(ExtPad), byte(size - n - 2)}, make([]byte, size-n-2)...)
}

func TestLongRoundTrip(t *testing.T) {
	for _, p := range longPackets() {
		b := p.want.Append([]byte("before"))
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Errorf("%T: Append overwrote what was there", p.want)
		}
		b = b[len("before"):]
		got, err := p.parse(b)
		if err != nil || !reflect.DeepEqual(got, p.want) {
			t.Errorf("%T: %v\ngot  %+v\nwant %+v", p.want, err, got, p.want)
		}
	}
}

// TestLongTruncated cuts every packet everywhere. OPEN and DATAGRAM end in
// bytes of any length, so these may be missing.
func TestLongTruncated(t *testing.T) {
	for _, p := range longPackets() {
		b := p.want.Append(nil)
		end := len(b)
		switch want := p.want.(type) {
		case *Open:
			end -= len(want.Rest)
		case *Datagram:
			end -= len(want.Noise)
		}
		for n := range end {
			if _, err := p.parse(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%T: its first %d of %d bytes parse: %v", p.want, n, len(b), err)
			}
		}
	}
}

func TestLongErrors(t *testing.T) {
	for _, p := range longPackets() {
		b := p.want.Append(nil)
		switch p.want.(type) {
		case *Open, *Datagram:
		default:
			if _, err := p.parse(append(bytes.Clone(b), 0)); !errors.Is(err, ErrMalformed) {
				t.Errorf("%T: a trailing byte: %v", p.want, err)
			}
		}
		other := bytes.Clone(b)
		other[0] ^= 3 << 6
		if _, err := p.parse(other); !errors.Is(err, ErrVersion) {
			t.Errorf("%T: of version 2: %v", p.want, err)
		}
		if _, err := p.parse(AppendData(nil, TypeData, false, 0, 1, 2, 3)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%T: a DATA packet: %v", p.want, err)
		}
	}
	for _, p := range []appender{&SYNACK{}, &Join{}, &Datagram{}, &SYN{}} {
		b := p.Append(nil)
		parse := map[Type]func([]byte) (appender, error){TypeSYN: parser(ParseSYN), TypeSYNACK: parser(ParseSYNACK), TypeJoin: parser(ParseJoin), TypeDatagram: parser(ParseDatagram)}
		typ, _ := PeekType(b)
		if _, err := parse[typ](b); !errors.Is(err, errFlow) {
			t.Errorf("%T: from flow 0: %v", p, err)
		}
	}
	for _, n := range []int{0, MaxCookie + 1} {
		b := (&Cookie{Flow: 1, Cookie: make([]byte, MaxCookie)}).Append(nil)
		b[22] = byte(n)
		if _, err := ParseCookie(b); !errors.Is(err, errCookieLen) {
			t.Errorf("cookie of %d bytes: %v", n, err)
		}
	}
}

// TestSYNPadding checks the size that anti-amplification counts on.
func TestSYNPadding(t *testing.T) {
	for n := range 256 {
		b := (&SYN{Flow: 1, Noise: make([]byte, n)}).Append([]byte("x"))[1:]
		if want := max(MinSYN, 44+n); len(b) != want && len(b) != want+1 {
			t.Errorf("SYN with %d bytes of noise has %d bytes", n, len(b))
		}
		if p, err := ParseSYN(b); err != nil || len(p.Noise) != n {
			t.Errorf("SYN with %d bytes of noise: %d, %v", n, len(p.Noise), err)
		}
		if _, err := ParseSYN(b[:MinSYN-1]); !errors.Is(err, ErrMalformed) {
			t.Errorf("SYN of %d bytes: %v", MinSYN-1, err)
		}
	}
}

// TestSYNPrologue checks that what a forwarder or a retry changes stays out.
func TestSYNPrologue(t *testing.T) {
	p := SYN{Flow: 1, Window: 2, HopLimit: 8}
	forwarded := p
	forwarded.HopLimit--
	forwarded.Extensions, _ = forwarded.Extensions.Add(ExtCookie, []byte("c"))
	if !bytes.Equal(p.AppendPrologue(nil), forwarded.AppendPrologue(nil)) {
		t.Error("forwarding changes the prologue")
	}
	for _, q := range []SYN{{Flow: 2, Window: 2}, {Flow: 1}, {Flow: 1, Window: 2, AES: true}, {Flow: 1, Window: 2, Datagram: true}, {Flow: 1, Window: 2, Service: ServiceID{1}}} {
		if bytes.Equal(p.AppendPrologue(nil), q.AppendPrologue(nil)) {
			t.Errorf("the prologue does not bind a difference of %+v", q)
		}
	}
}

func TestSYNEcho(t *testing.T) {
	a, b := SYN{Flow: 1, Noise: []byte("n")}, SYN{Flow: 1, Noise: []byte("m")}
	if a.Echo() == b.Echo() {
		t.Error("the echo does not depend on the handshake message")
	}
	if b = a; a.Echo() != b.Echo() {
		t.Error("the echo of one SYN differs")
	}
	if b.Flow = 2; a.Echo() == b.Echo() {
		t.Error("the echo does not depend on the flow")
	}
}

func TestStrings(t *testing.T) {
	for got, want := range map[string]string{
		TypeSYNACK.String():     "SYNACK",
		Type(99).String():       "TYPE?",
		FrameBlocked.String():   "BLOCKED",
		FrameType(99).String():  "FRAME?",
		NoService.String():      "no such service",
		RefuseCode(0).String():  "refusal code 0",
		RefuseCode(99).String(): "refusal code 99",
		FlowID(0xbeef).String(): "0000beef",
		errTruncated.Error():    "sal: packet is cut short",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// fuzzLong checks that what parses survives Append and Parse unchanged.
func fuzzLong[T any, P interface {
	*T
	appender
}](f *testing.F, parse func([]byte) (T, error)) {
	for _, p := range longPackets() {
		if _, ok := p.want.(P); ok {
			f.Add(p.want.Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parse(b)
		if err != nil {
			if !reflect.ValueOf(p).IsZero() {
				t.Fatalf("error %v with %+v", err, p)
			}
			return
		}
		again := P(&p).Append(nil)
		q, err := parse(again)
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v appends as %x, which parses as %+v, %v", p, again, q, err)
		}
		if len(again) != len(b) {
			t.Fatalf("%d bytes became %d", len(b), len(again))
		}
	})
}

func FuzzParseSYN(f *testing.F)      { fuzzLong(f, ParseSYN) }
func FuzzParseSYNACK(f *testing.F)   { fuzzLong(f, ParseSYNACK) }
func FuzzParseOpen(f *testing.F)     { fuzzLong(f, ParseOpen) }
func FuzzParseRefuse(f *testing.F)   { fuzzLong(f, ParseRefuse) }
func FuzzParseCookie(f *testing.F)   { fuzzLong(f, ParseCookie) }
func FuzzParseJoin(f *testing.F)     { fuzzLong(f, ParseJoin) }
func FuzzParseDatagram(f *testing.F) { fuzzLong(f, ParseDatagram) }
