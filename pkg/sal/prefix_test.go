package sal

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// containsSlowly is the readable twin of Prefix.Contains: one bit at a time.
func containsSlowly(p Prefix, id ServiceID) bool {
	for i := range int(p.Bits) {
		bit := byte(1) << (7 - i%8)
		if p.ID[i/8]&bit != id[i/8]&bit {
			return false
		}
	}
	return true
}

func TestPrefixContains(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		var p Prefix
		for i := range p.ID {
			p.ID[i] = byte(rnd.Uint32())
		}
		p.Bits = uint16(rnd.IntN(257))
		id := p.ID
		if at := rnd.IntN(257); at < 256 { // one bit differs, or none
			id[at/8] ^= 1 << (7 - at%8)
		}
		if got, want := p.Contains(id), containsSlowly(p, id); got != want {
			t.Fatalf("%s contains %s: %v, want %v", p, id, got, want)
		}
		m := p.Masked()
		if m.Contains(id) != p.Contains(id) || m != m.Masked() {
			t.Fatalf("%s masked is %s", p, m)
		}
		if again, err := ParsePrefix(p.String()); again != m || err != nil {
			t.Fatalf("%s comes back as %s, %v", p, again, err)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/0", "/0"},
		{"01/8", "01/8"},
		{"01/16", "0100/16"},
		{"f8/5", "f8/5"},
		{"AB/8", "ab/8"},
	} {
		if p, err := ParsePrefix(tt.in); err != nil || p.String() != tt.want {
			t.Errorf("%q is %s, %v; want %s", tt.in, p, err, tt.want)
		}
	}
	for _, tt := range []struct{ in, want string }{
		{"", "has no length"},
		{"01", "has no length"},
		{"01/257", "has no length"},
		{"01/-1", "has no length"},
		{"f9/5", "beyond its length"},
		{"0/4", "not hexadecimal"},
		{"zz/8", "not hexadecimal"},
		{strings.Repeat("00", 33) + "/8", "longer than a service ID"},
	} {
		if p, err := ParsePrefix(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q is %s, %v; want an error with %q", tt.in, p, err, tt.want)
		}
	}
}

func TestParseServiceID(t *testing.T) {
	id := MustParseName("svc:web").ServiceID()
	var got ServiceID
	text, _ := id.MarshalText()
	if err := got.UnmarshalText(text); err != nil || got != id {
		t.Errorf("%s comes back as %s, %v", id, got, err)
	}
	for _, bad := range []string{"", "01", strings.Repeat("0", 63), strings.Repeat("g", 64), strings.Repeat("0", 1000)} {
		if id, err := ParseServiceID(bad); err == nil || !id.IsZero() || len(err.Error()) > 200 {
			t.Errorf("%q is %s, %v", bad, id, err)
		}
	}
}

func FuzzParsePrefix(f *testing.F) {
	f.Add("01/8")
	f.Add("/0")
	f.Add(strings.Repeat("ff", 32) + "/256")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePrefix(s)
		if err != nil {
			return
		}
		if q, err := ParsePrefix(p.String()); q != p || err != nil {
			t.Fatalf("%q is %s, which is %s, %v", s, p, q, err)
		}
	})
}

func FuzzParseServiceID(f *testing.F) {
	f.Add(strings.Repeat("0f", 32))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseServiceID(s)
		if err == nil && id.String() != strings.ToLower(s) {
			t.Fatalf("%q is %s", s, id)
		}
	})
}
