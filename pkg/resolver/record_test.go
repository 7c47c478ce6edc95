package resolver

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

func mustRecord(t testing.TB, r *Record, err error) *Record {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecord(t *testing.T) {
	ids := newCluster(t, "web", "*")
	now := time.Now().Round(0)
	reg := registration(ids[0])
	for _, issue := range []func(time.Time) (*Record, error){reg.Announce, reg.Withdraw} {
		r, err := issue(now)
		mustRecord(t, r, err)
		got, err := ParseRecord(r.Raw(), ids[1].Cluster(), now.Add(time.Second))
		mustRecord(t, got, err)
		if !reflect.DeepEqual(got, r) {
			t.Errorf("parsed %+v, want %+v", got, r)
		}
		if got.Node != ids[0].Node() || got.Service != web || got.Weight != 3 || got.Priority != -7 ||
			got.TTL != DefaultTTL || !got.Issued.Equal(now) || !reflect.DeepEqual(got.Addrs, reg.Addrs) {
			t.Errorf("parsed %+v", got)
		}
	}
}

// TestLargestRecord: whatever a registration may hold fits.
func TestLargestRecord(t *testing.T) {
	long := strings.Repeat("x", sal.MaxLabel)
	name := long + "/" + long + "/" + long
	ids := newCluster(t, name)
	reg := Registration{Service: sal.MustParseName(name), Identity: ids[0]}
	for i := range MaxAddrs {
		reg.Addrs = append(reg.Addrs, netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), uint16(i+1)))
	}
	r, err := reg.Announce(time.Now())
	mustRecord(t, r, err)
	if spare := identity.MaxChain - len(ids[0].Chain()); len(r.Raw())+spare > MaxRecord {
		t.Errorf("the record has %d bytes, with the longest chain %d", len(r.Raw()), len(r.Raw())+spare)
	}
}

func TestBadRegistrations(t *testing.T) {
	id := newCluster(t, "web")[0]
	for want, change := range map[string]func(*Registration){
		"no service":         func(r *Registration) { r.Service = sal.Name{} },
		"no identity":        func(r *Registration) { r.Identity = nil },
		"0 addresses":        func(r *Registration) { r.Addrs = nil },
		"17 addresses":       func(r *Registration) { r.Addrs = make([]netip.AddrPort, 17) },
		"reach the address":  func(r *Registration) { r.Addrs = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:1")} },
		"without zone":       func(r *Registration) { r.Addrs = []netip.AddrPort{netip.MustParseAddrPort("[fe80::1%eth0]:1")} },
		"weight":             func(r *Registration) { r.Weight = -1 },
		"priority":           func(r *Registration) { r.Priority = 1 << 15 },
		"TTL":                func(r *Registration) { r.TTL = time.Millisecond },
		"token that grants ": func(r *Registration) { r.Service = sal.MustParseName("shop") },
	} {
		reg := registration(id)
		change(&reg)
		if _, err := reg.Announce(time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestForgedRecords(t *testing.T) {
	ids := newCluster(t, "web", "*")
	now := time.Now()
	reg := registration(ids[0])
	r, err := reg.Announce(now)
	raw := mustRecord(t, r, err).Raw()
	cluster := ids[0].Cluster()
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := ParseRecord(bad, cluster, now); !errors.Is(err, ErrRecord) {
			t.Fatalf("with byte %d changed: %v", i, err)
		}
		if _, err := ParseRecord(raw[:i], cluster, now); !errors.Is(err, ErrRecord) {
			t.Fatalf("with %d bytes: %v", i, err)
		}
	}
	for want, parse := range map[string]func() (*Record, error){
		"1201 bytes": func() (*Record, error) { return ParseRecord(make([]byte, MaxRecord+1), cluster, now) },
		"cluster":    func() (*Record, error) { return ParseRecord(raw, newCluster(t, "*")[0].Cluster(), now) },
		"from now":   func() (*Record, error) { return ParseRecord(raw, cluster, now.Add(-clockSkew-1)) },
		"expired":    func() (*Record, error) { return ParseRecord(raw, cluster, now.Add(DefaultTTL+clockSkew)) },
		"may not serve svc:web": func() (*Record, error) {
			other := newCluster(t, "*", "shop")
			reg := registration(other[0])
			r, _ := reg.Announce(now)
			// The node that may serve shop signs the announcement of web itself.
			forged := r.Raw()[:len(r.Raw())-signatureLen]
			forged = bytes.Replace(forged, chainOf(other[0]), chainOf(other[1]), 1)
			return ParseRecord(append(forged, other[1].Sign(forged)...), other[0].Cluster(), now)
		},
	} {
		if _, err := parse(); !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// chainOf returns the chain as it stands in a record.
func chainOf(id *identity.Identity) []byte {
	n := len(id.Chain())
	return append([]byte{byte(n >> 8), byte(n)}, id.Chain()...)
}

func FuzzParseRecord(f *testing.F) {
	id := newCluster(f, "*")[0]
	now := time.Now()
	for _, issue := range []func(time.Time) (*Record, error){registration(id).Announce, registration(id).Withdraw} {
		r, err := issue(now)
		f.Add(mustRecord(f, r, err).Raw())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := ParseRecord(raw, id.Cluster(), now)
		if err == nil && !bytes.Equal(r.Raw(), raw) {
			t.Error("a record is not its own encoding")
		}
	})
}
