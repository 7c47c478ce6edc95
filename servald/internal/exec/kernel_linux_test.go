package exec

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParents(t *testing.T) {
	for stat, want := range map[string]int{
		"12 (sh) S 7 12 12 0": 7, "12 (a) b) R 3 1": 3, "12 (((  x) Z 99": 99, "12 () T 1": 1,
		"": 0, "12 (sh) S": 0, "12 (sh": 0, "12 (sh) S x 1": 0,
	} {
		if got, ok := parentOf([]byte(stat)); got != want || ok != (want != 0) {
			t.Errorf("%q: parent %d, %v; want %d", stat, got, ok, want)
		}
	}
	got := descendants(5, map[int]int{1: 0, 5: 1, 6: 5, 7: 6, 8: 1, 9: 10, 10: 9, 11: 7})
	slices.Sort(got)
	if !slices.Equal(got, []int{6, 7, 11}) {
		t.Errorf("descendants of 5: %v", got)
	}
}

func FuzzParents(f *testing.F) {
	f.Add([]byte("12 (sh) S 7 12 12 0"))
	f.Add([]byte(") ) )"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := parentOf(b); ok && !bytes.Contains(b, []byte(" ")) {
			t.Errorf("%q has a parent", b)
		}
	})
}

// diag is a struct inet_diag_msg.
func diag(family byte, addr string, port uint16, v6only ...byte) []byte {
	b := make([]byte, 72)
	b[0] = family
	binary.BigEndian.PutUint16(b[4:], port)
	copy(b[8:24], netip.MustParseAddr(addr).AsSlice())
	for _, v := range v6only {
		b = append(b, 5, 0, 11, 0, v, 0, 0, 0)
	}
	return b
}

func TestParseDiag(t *testing.T) {
	for _, c := range []struct {
		msg  []byte
		want string
	}{
		{diag(unix.AF_INET, "127.0.0.1", 80), "tcp4 127.0.0.1:80"},
		{diag(unix.AF_INET, "0.0.0.0", 80), "tcp4 0.0.0.0:80"},
		{diag(unix.AF_INET6, "::1", 80), "tcp6 [::1]:80"},
		{diag(unix.AF_INET6, "::", 80, 0), "tcp [::]:80"},
		{diag(unix.AF_INET6, "::", 80, 1), "tcp6 [::]:80"},
		{diag(unix.AF_INET6, "::ffff:127.0.0.1", 80), "tcp4 127.0.0.1:80"},
		{diag(unix.AF_INET, "192.0.2.1", 80), ""},
		{diag(unix.AF_INET, "127.0.0.1", 0), ""},
		{diag(unix.AF_INET, "127.0.0.1", 80)[:71], ""},
	} {
		got := ""
		if e, ok := parseDiag(c.msg, unix.IPPROTO_TCP); ok {
			got = e.String()
		}
		if got != c.want {
			t.Errorf("%x: %q, want %q", c.msg, got, c.want)
		}
	}
}

func FuzzParseDiag(f *testing.F) {
	f.Add(diag(unix.AF_INET, "127.0.0.1", 80))
	f.Add(diag(unix.AF_INET6, "::", 80, 0, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parseDiag(b, unix.IPPROTO_UDP); ok && (!e.addr.IsValid() || e.addr.Port() == 0 || !isUDP(e)) {
			t.Errorf("%x: %v", b, e)
		}
	})
}

func TestList(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l, err := newLister()
	must(t, err)
	defer l.close()
	e := endpoint{"tcp4", netip.MustParseAddrPort(ln.Addr().String())}
	for _, there := range []bool{true, false} {
		found, err := l.list(ephemeralPorts())
		must(t, err)
		if found[e] != there {
			t.Errorf("%v is listed: %v", e, found[e])
		}
		ln.Close()
	}
}
