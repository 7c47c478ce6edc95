package load

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// tcp is the plainest transport.
type tcp struct{}

func (tcp) Listen(addr netip.AddrPort) (net.Listener, error) {
	return net.Listen("tcp", addr.String())
}

func (tcp) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr.String())
}

func TestWorkloads(t *testing.T) {
	l, err := tcp{}.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go Serve(l)
	base := Spec{Addr: l.Addr().(*net.TCPAddr).AddrPort(), For: 200 * time.Millisecond}
	for _, test := range []struct {
		kind           string
		streams, conns int
		want           []string
	}{
		{"bulk", 1, 0, []string{"Mbit/s", "jain"}},
		{"bulk", 8, 0, []string{"Mbit/s", "jain"}},
		{"rr", 0, 0, []string{"p50", "p99"}},
		{"dials", 4, 0, []string{"dials/s"}},
		{"idle", 0, 50, []string{"rate-kept"}},
		{"series", 0, 10, []string{"p50", "p99", "max"}},
	} {
		spec := base
		spec.Kind, spec.Streams, spec.Conns = test.kind, test.streams, test.conns
		got, err := Run(t.Context(), tcp{}, spec)
		if err != nil {
			t.Fatalf("%s: %v", test.kind, err)
		}
		for _, name := range test.want {
			if got[name] <= 0 {
				t.Errorf("%s: %s = %v", test.kind, name, got[name])
			}
		}
		if test.streams == 1 && got["jain"] != 1 {
			t.Errorf("one stream's fairness is %v", got["jain"])
		}
	}
}

func TestUnknownWorkload(t *testing.T) {
	if _, err := Run(t.Context(), tcp{}, Spec{Kind: "nap"}); err == nil {
		t.Error("no error")
	}
}
