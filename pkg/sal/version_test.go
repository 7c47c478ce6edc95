package sal

import "testing"

func TestRefuseVersion(t *testing.T) {
	syn := SYN{Flow: 7, Noise: make([]byte, 32)}
	newer := syn.Append(nil)
	newer[0] = newer[0]&0x3f | 2<<6
	b := RefuseVersion(newer)
	if b == nil || b[0]>>6 != 2 {
		t.Fatalf("answer %x is not of the SYN's version", b)
	}
	b[0] = b[0]&0x3f | Version<<6 // as a node of that version sees it
	r, err := ParseRefuse(b)
	if err != nil || r.Flow != 7 || r.Code != VersionMismatch || r.Echo != syn.Echo() {
		t.Fatalf("refusal %+v, %v", r, err)
	}
	if RefuseVersion(syn.Append(nil)) != nil {
		t.Error("a SYN of our own version was refused for its version")
	}
	if RefuseVersion(newer[:40]) != nil {
		t.Error("a short packet was answered: that multiplies traffic")
	}
	data := AppendData(nil, TypeData, false, 0, 7, 1, 0)
	data = append(data, make([]byte, MinSYN)...)
	data[0] = data[0]&0x3f | 2<<6
	if RefuseVersion(data) != nil {
		t.Error("a packet other than SYN was answered")
	}
}

func TestPeekSource(t *testing.T) {
	syn := SYN{Flow: 0x01020304, Noise: make([]byte, 32)}
	b := syn.Append(nil)
	if id, ok := PeekSource(b[:28]); !ok || id != syn.Flow {
		t.Errorf("PeekSource = %v, %v", id, ok)
	}
	if _, ok := PeekSource(b[:7]); ok {
		t.Error("a start too short has a source")
	}
	if _, ok := PeekSource(AppendData(nil, TypeData, false, 0, 7, 1, 0)); ok {
		t.Error("DATA has a source")
	}
}
