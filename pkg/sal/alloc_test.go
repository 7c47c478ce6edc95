package sal

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestNoAllocations holds every parser and appender to zero allocations, given
// room to append, on good packets and on hostile ones.
func TestNoAllocations(t *testing.T) {
	buf := make([]byte, 0, 4096)
	var frame Frame
	check := func(what string, f func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	data := AppendData(nil, TypeData, false, 0, 1, 2, 3)
	check("ParseShort", func() { ParseShort(data) })
	check("ParseShort, cut", func() { ParseShort(data[:9]) })
	check("ParseShort, other version", func() { ParseShort(buf[:ShortHeaderLen]) })
	check("PeekType, other version", func() { PeekType(buf[:1]) })
	check("PeekFlow", func() { PeekFlow(data) })
	check("AppendShort", func() { AppendShort(buf, TypeAck, true, 1, 2, 3) })
	check("AppendData", func() { AppendData(buf, TypeFIN, true, 1, 2, 3, 4) })
	for _, f := range someFrames() {
		b := appendFrame(nil, &f)
		check("parse "+f.Type.String(), func() { ParseFrame(b, &frame) })
		check("parse half a "+f.Type.String(), func() { ParseFrame(b[:len(b)/2], &frame) })
		if f.Type != FrameReset { // its test helper converts the reason
			check("append "+f.Type.String(), func() { appendFrame(buf, &f) })
		}
	}
	check("append RESET", func() { AppendReset(buf, 1, "a reason") })

	noise := make([]byte, 100)
	ext, err := Extensions(nil).Add(ExtCookie, noise[:40])
	if err != nil {
		t.Fatal(err)
	}
	syn := SYN{Flow: 1, Noise: noise, Extensions: ext}
	packet := syn.Append(nil)
	check("SYN", func() {
		p, err := ParseSYN(packet)
		if _, ok := p.Extensions.Get(ExtCookie); !ok || err != nil {
			t.Error("no cookie in the SYN")
		}
		p.Extensions.Port()
		p.Append(buf)
		p.AppendPrologue(buf)
		p.Echo()
	})
	hostile := synWith([]byte{1, 0})
	check("hostile SYN", func() {
		if _, err := ParseSYN(hostile); !errors.Is(err, ErrVersion) {
			t.Error(err)
		}
	})
	synack := (&SYNACK{Source: 1, Noise: noise, Extensions: ext}).Append(nil)
	check("SYNACK", func() { p, _ := ParseSYNACK(synack); p.Append(buf) })
	open := (&Open{Flow: 1, Noise: noise, Rest: data}).Append(nil)
	check("OPEN", func() { p, _ := ParseOpen(open); p.Append(buf) })
	refuse := (&Refuse{Flow: 1, Code: NoService}).Append(nil)
	check("REFUSE", func() { p, _ := ParseRefuse(refuse); p.Append(buf) })
	cookie := (&Cookie{Flow: 1, Cookie: noise[:40]}).Append(nil)
	check("COOKIE", func() { p, _ := ParseCookie(cookie); p.Append(buf) })
	join := (&Join{Source: 1, Extensions: ext}).Append(nil)
	check("JOIN", func() { p, _ := ParseJoin(join); p.Append(buf); p.AppendMACInput(buf) })
	datagram := (&Datagram{Source: 1, Noise: noise}).Append(nil)
	check("DATAGRAM", func() { p, _ := ParseDatagram(datagram); p.Append(buf) })

	name := MustParseName("svc:shop/cart")
	check("ServiceID and Prefix", func() { name.Prefix().Contains(name.ServiceID()) })
}

// TestInlining checks that what runs for every packet is inlined.
func TestInlining(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package")
	}
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Skipf("cannot run the compiler: %v", err)
	}
	for _, f := range []string{"PeekType", "AppendShort", "AppendData", "DecodePN", "DecodeOffset", "ServiceID.CommonPrefix", "Prefix.Contains"} {
		if !strings.Contains(string(out), "can inline "+f+"\n") {
			t.Errorf("%s is not inlined", f)
		}
	}
}
