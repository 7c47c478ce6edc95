package sal

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden packets in testdata")

// golden is one packet or plaintext that must never change within version 1.
type golden struct {
	name, title string
	b           []byte
	fields      string // "length meaning" of each, separated by semicolons; the last takes the rest
}

func goldens() []golden {
	noise := bytes.Repeat([]byte{0xa1}, 32)
	noise2 := bytes.Repeat([]byte{0xa2}, 96)
	tag := bytes.Repeat([]byte{0x55}, 16)
	echo := (&SYN{Flow: 0x11111111, Noise: noise}).Echo()
	cookie, _ := Extensions(nil).Add(ExtCookie, []byte("oatmeal cookie"))
	source, _ := cookie.Add(ExtSource, AppendSource(nil, Source{netip.MustParseAddrPort("192.0.2.1:7000"), [8]byte([]byte("forwards"))}))
	syn := SYN{AES: true, HopLimit: 8, Flow: 0x11111111, Window: 1 << 20, Service: MustParseName("svc:shop/cart").ServiceID(), Noise: noise}
	ported := syn
	ported.Extensions, _ = Extensions(nil).Add(ExtPort, AppendPort(nil, 8443))
	retry := syn
	retry.Extensions = source
	const synFields = "1 version 1, type SYN; 1 flags: fast AES; 1 hop limit 8; 1 length of handshake message 1; 4 source flow; 4 window 1 MiB; 32 service ID of svc:shop/cart; 32 handshake message 1; "
	nonce, mac := [16]byte(bytes.Repeat([]byte{0xb1}, 16)), [16]byte(bytes.Repeat([]byte{0xb2}, 16))
	frames := AppendAck(nil, 0, 250*time.Microsecond, []PNRange{{0x100, 0x123}, {0xf0, 0xfe}})
	frames = AppendWindow(frames, 1<<20)
	withFrames := append([]byte{0, byte(len(frames))}, append(frames, "GET /"...)...)
	const short = "4 destination flow; 3 packet number, low 24 bits; "
	return []golden{
		{"data", "DATA, key phase 0, packet number 0x1000123, stream offset 0x100000400", append(AppendData(nil, TypeData, false, 0, 0x22222222, 0x1000123, 0x100000400), append([]byte("sealed"), tag...)...),
			"1 version 1, type DATA; " + short + "4 stream offset, low 32 bits; 6 ciphertext; 16 tag"},
		{"fin", "FIN with frames before the payload, key phase 1", append(AppendData(nil, TypeFIN, true, 1, 0x22222222, 7, 1000), tag...),
			"1 version 1, type FIN, F, K; " + short + "4 stream offset; 16 ciphertext and tag"},
		{"ack", "ACK", append(AppendShort(nil, TypeAck, false, 0, 0x22222222, 5), tag...),
			"1 version 1, type ACK; " + short + "16 ciphertext and tag"},
		{"dgram", "DGRAM", append(AppendShort(nil, TypeDgram, false, 0, 0x22222222, 5), tag...),
			"1 version 1, type DGRAM; " + short + "16 ciphertext and tag"},
		{"plaintext-frames", "plaintext of a DATA packet whose F bit is set", withFrames,
			"2 length of the frames; 1 ACK; 1 flow index; 2 largest 0x123; 2 delay 250 us; 1 further ranges; 1 first range: 0x123 to 0x100; 1 gap: 0xff alone is missing; 1 range: 0xfe to 0xf0; 1 WINDOW; 4 up to 1 MiB; 5 payload"},
		{"syn", "SYN to svc:shop/cart, padded to 256 bytes", syn.Append(nil), synFields + "2 PAD; 178 padding"},
		{"syn-cookie", "SYN again with the cookie, come through one forwarder", retry.Append(nil),
			synFields + "2 COOKIE; 14 cookie; 2 SOURCE; 16 192.0.2.1; 2 port 7000; 8 tag; 2 PAD; 134 padding"},
		{"syn-port", "SYN that asks for port 8443", ported.Append(nil), synFields + "2 PORT; 2 port 8443; 2 PAD; 174 padding"},
		{"synack", "SYNACK", (&SYNACK{AES: true, Flow: 0x11111111, Source: 0x22222222, Window: 1 << 20, Noise: noise2}).Append(nil),
			"1 version 1, type SYNACK; 1 flags: AES-128-GCM; 4 destination flow; 4 source flow; 4 window 1 MiB; 2 length of handshake message 2; 96 handshake message 2; 2 length of the extensions"},
		{"open", "OPEN with the first DATA packet behind it", (&Open{Flow: 0x22222222, Noise: noise2[:64], Rest: append(AppendData(nil, TypeData, false, 0, 0x22222222, 0, 0), tag...)}).Append(nil),
			"1 version 1, type OPEN; 1 flags; 4 destination flow; 2 length of handshake message 3; 64 handshake message 3; 12 DATA header; 16 ciphertext and tag"},
		{"refuse", "REFUSE", (&Refuse{Flow: 0x11111111, Code: Overloaded, RetryAfter: 1500 * time.Millisecond, Echo: echo}).Append(nil),
			"1 version 1, type REFUSE; 1 flags; 4 destination flow; 1 overloaded; 2 retry after 1500 ms; 16 echo of the SYN"},
		{"cookie", "COOKIE", (&Cookie{Flow: 0x11111111, Echo: echo, Cookie: []byte("oatmeal cookie")}).Append(nil),
			"1 version 1, type COOKIE; 1 flags; 4 destination flow; 16 echo of the SYN; 1 length of the cookie; 14 cookie"},
		{"join", "JOIN", (&Join{Flow: 0x22222222, Source: 0x33333333, Index: 1, Nonce: nonce, MAC: mac}).Append(nil),
			"1 version 1, type JOIN; 1 flags; 4 destination flow; 4 source flow; 1 flow index; 16 nonce; 16 MAC; 2 length of the extensions"},
		{"joinack", "JOINACK", (&Join{Ack: true, Flow: 0x33333333, Source: 0x44444444, Index: 1, Nonce: nonce, MAC: mac}).Append(nil),
			"1 version 1, type JOINACK; 1 flags; 4 destination flow; 4 source flow; 1 flow index; 16 nonce; 16 MAC; 2 length of the extensions"},
		{"datagram", "DATAGRAM", (&Datagram{Source: 0x11111111, Service: syn.Service, Noise: noise}).Append(nil),
			"1 version 1, type DATAGRAM; 1 flags; 4 source flow; 32 service ID of svc:shop/cart; 32 handshake bytes"},
		{"frames", "one frame of every type but ACK, as in the plaintext of an ACK packet", goldenFrames(),
			"1 PING; 1 WINDOW; 4 up to 1 MiB; 1 RESET; 1 code 2; 1 length of the reason; 4 reason \"done\"; 1 CHALLENGE; 8 data; 1 RESPONSE; 8 data; 1 RSYN; 2 version number 300; 4 new flow; 1 flow index; 8 nonce; 1 PATHS; 2 revision 300; 1 mode; 1 one flow; 1 index; 1 cost; 1 two addresses; 1 IPv4; 4 192.0.2.1; 2 port 7000; 1 IPv6; 16 2001:db8::1; 2 port 7000; 1 BLOCKED; 4 at 1 MiB; 1 ACK_EVERY; 1 flow index; 2 9808 bytes; 2 1000 us; 2 PAD"},
	}
}

func goldenFrames() []byte {
	b := AppendWindow(AppendPing(nil), 1<<20)
	b = AppendReset(b, 2, "done")
	b = AppendChallenge(b, [8]byte{1, 2, 3, 4, 5, 6, 7, 8})
	b = AppendResponse(b, [8]byte{1, 2, 3, 4, 5, 6, 7, 8})
	b = AppendRSYN(b, RSYNFrame{Verno: 300, Flow: 0x55555555, Index: 1, Nonce: [8]byte{9, 9}})
	b = AppendPaths(b, &PathsFrame{Revision: 300, Mode: 1, NFlows: 1, Flows: [MaxPathFlows]FlowCost{{1, 10}}, NAddrs: 2, Addrs: [MaxPathAddrs]netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:7000"), netip.MustParseAddrPort("[2001:db8::1]:7000")}})
	b = AppendBlocked(b, 1<<20)
	b = AppendAckEvery(b, AckEvery{Bytes: 9808, Delay: time.Millisecond})
	return AppendPad(b, 2)
}

// TestGolden compares what the appenders write with testdata. A difference
// means that old and new nodes no longer understand each other.
func TestGolden(t *testing.T) {
	for _, g := range goldens() {
		path := filepath.Join("testdata", g.name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(g.text()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v; run go test -run TestGolden -update", err)
		}
		if want := unhex(t, string(text)); !bytes.Equal(g.b, want) {
			t.Errorf("%s: the packet has changed\ngot  %x\nwant %x", g.name, g.b, want)
		}
		if string(text) != g.text() {
			t.Errorf("%s: the comments are out of date; run go test -run TestGolden -update", path)
		}
	}
}

// text annotates the bytes of g with its fields, one a line.
func (g golden) text() string {
	var out strings.Builder
	fmt.Fprintf(&out, "# %s (%d bytes)\n", g.title, len(g.b))
	fields, b := strings.Split(g.fields, "; "), g.b
	for i, f := range fields {
		var n int
		fmt.Sscanf(f, "%d", &n)
		_, meaning, _ := strings.Cut(f, " ")
		if n > len(b) || i == len(fields)-1 {
			n = len(b)
		}
		for field := b[:n]; len(field) > 0; {
			line := field[:min(16, len(field))]
			if fmt.Fprintf(&out, "%x", line); meaning != "" {
				fmt.Fprintf(&out, "%*s  # %s", 32-2*len(line), "", meaning)
				meaning = "" // a field of several lines has it once
			}
			out.WriteByte('\n')
			field = field[len(line):]
		}
		b = b[n:]
	}
	return out.String()
}

// unhex reads hexadecimal lines with comments.
func unhex(t *testing.T, text string) []byte {
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.TrimSpace(line))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}
