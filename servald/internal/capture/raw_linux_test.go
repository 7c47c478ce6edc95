package capture

import (
	"bytes"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func TestPackets(t *testing.T) {
	for _, payload := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("yz"), 700)} {
		from, to := netip.MustParseAddrPort("198.18.0.5:53"), netip.MustParseAddrPort("10.1.2.3:5353")
		ip := header.IPv4(appendPacket4(nil, from, to, payload))
		if !ip.IsValid(len(ip)) || ip.SourceAddress().As4() != from.Addr().As4() || ip.DestinationAddress().As4() != to.Addr().As4() {
			t.Errorf("%x", []byte(ip))
		}
		udp := header.UDP(ip.Payload())
		if udp.SourcePort() != 53 || udp.DestinationPort() != 5353 || !bytes.Equal(udp.Payload(), payload) ||
			!udp.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), checksum.Checksum(payload, 0)) {
			t.Errorf("%x", []byte(udp))
		}
		from, to = netip.MustParseAddrPort("[fd5e:7276:616c::5]:53"), netip.MustParseAddrPort("[fd00::1]:5353")
		ip6 := header.IPv6(appendPacket6(nil, from, to, payload))
		if !ip6.IsValid(len(ip6)) || ip6.SourceAddress().As16() != from.Addr().As16() || ip6.DestinationAddress().As16() != to.Addr().As16() {
			t.Errorf("%x", []byte(ip6))
		}
		udp = header.UDP(ip6.Payload())
		if udp.SourcePort() != 53 || udp.DestinationPort() != 5353 || !bytes.Equal(udp.Payload(), payload) ||
			!udp.IsChecksumValid(ip6.SourceAddress(), ip6.DestinationAddress(), checksum.Checksum(payload, 0)) {
			t.Errorf("%x", []byte(udp))
		}
	}
}

func TestRawSenderFailsPlainly(t *testing.T) {
	s := newRawSender()
	four, six := netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("[::1]:9")
	if err := s.send(four, six, nil); err == nil || err == errNoRaw {
		t.Error(err)
	}
	if err := s.send(four, four, make([]byte, 65600)); err != errNoRaw {
		t.Error(err)
	}
	s.close()
	s.close()
	for _, at := range []netip.AddrPort{four, six} {
		if err := s.send(at, at, nil); err != errNoRaw {
			t.Errorf("once closed: %v", err)
		}
	}
}
