package sal

import "testing"

func BenchmarkParseShort(b *testing.B) {
	p := AppendData(nil, TypeData, false, 0, 1, 2, 3)
	b.ReportAllocs()
	for b.Loop() {
		ParseShort(p)
	}
}

func BenchmarkPeekFlow(b *testing.B) {
	p := AppendData(nil, TypeData, false, 0, 1, 2, 3)
	b.ReportAllocs()
	for b.Loop() {
		PeekFlow(p)
	}
}

func BenchmarkAppendData(b *testing.B) {
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		AppendData(buf, TypeData, false, 0, 1, 2, 3)
	}
}

func BenchmarkDecodePN(b *testing.B) {
	var pn uint64
	for b.Loop() {
		pn = DecodePN(uint32(pn+1)&pnMask, pn)
	}
}

func benchmarkAck(b *testing.B, ranges int) {
	var r [MaxAckRanges]PNRange
	for i := range r {
		r[i] = PNRange{uint64(1<<20 - 10*i), uint64(1<<20 - 10*i + 5)}
	}
	buf := make([]byte, 0, 1024)
	var f Frame
	b.ReportAllocs()
	for b.Loop() {
		ack := AppendAck(buf, 0, 0, r[:ranges])
		if _, err := ParseFrame(ack, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAck1(b *testing.B)  { benchmarkAck(b, 1) }
func BenchmarkAck64(b *testing.B) { benchmarkAck(b, 64) }

func BenchmarkSYN(b *testing.B) {
	p := SYN{Flow: 1, Noise: make([]byte, 32)}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseSYN(p.Append(buf)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseName("cart.shop.svc.serval:80"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkServiceID(b *testing.B) {
	n := MustParseName("svc:shop/cart")
	b.ReportAllocs()
	for b.Loop() {
		n.ServiceID()
	}
}

func BenchmarkPrefixContains(b *testing.B) {
	n := MustParseName("svc:shop/cart")
	p, id := n.Prefix(), n.ServiceID()
	for b.Loop() {
		p.Contains(id)
	}
}
