package handshake

import (
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

// asking is a dialler that asks for a port.
func (l *lab) asking(port uint16, datagram bool) *Initiator {
	l.Helper()
	i, err := NewInitiator(Config{Identity: l.dialer}, web, clientFlow, Params{Port: port, Datagram: datagram})
	if err != nil {
		l.Fatal(err)
	}
	return i
}

// withPort is a SYN whose PORT somebody has altered on the way, or removed if it
// is nil.
func withPort(t testing.TB, pkt []byte, port []byte) []byte {
	t.Helper()
	syn, err := sal.ParseSYN(pkt)
	if err != nil {
		t.Fatal(err)
	}
	var e sal.Extensions
	if port != nil {
		if e, err = e.Add(sal.ExtPort, port); err != nil {
			t.Fatal(err)
		}
	}
	syn.Extensions = append(e, pad(len(padding)-len(e))...)
	return syn.Append(nil)
}

// TestPort: the instance learns the port, whatever becomes of the SYN on its way.
func TestPort(t *testing.T) {
	for _, tt := range []struct {
		name string
		way  func(l *lab, i *Initiator) (syn []byte)
	}{
		{"straight", func(l *lab, i *Initiator) []byte { return i.SYN() }},
		{"avoiding somebody", func(l *lab, i *Initiator) []byte {
			if !i.Avoid(router) || i.Avoid(router) {
				l.Error("Avoid takes an address once")
			}
			return i.SYN()
		}},
		{"forwarded", func(l *lab, i *Initiator) []byte {
			l.offer.Router = router
			syn, ok := sal.ForwardSYN(append([]byte(nil), i.SYN()...), sal.Source{Addr: client}, nil)
			if !ok {
				l.Fatal("not forwarded")
			}
			return syn
		}},
		{"with a cookie, avoiding somebody", func(l *lab, i *Initiator) []byte {
			i.Avoid(router)
			l.r.cfg.CookieThreshold = 0
			syn, err := i.HandleCookie(l.synack(i.SYN()))
			if err != nil {
				l.Fatal(err)
			}
			return syn
		}},
	} {
		for _, port := range []uint16{0, 1, 80, 65535} {
			for _, datagram := range []bool{false, true} {
				l := newLab(t)
				i := l.asking(port, datagram)
				if len(i.SYN()) != synLen {
					t.Errorf("%s: SYN has %d bytes, want %d", tt.name, len(i.SYN()), synLen)
				}
				syn := tt.way(l, i)
				if p, err := sal.ParseSYN(syn); err != nil || p.Extensions.Port() != port {
					t.Errorf("%s: PORT is %d, %v", tt.name, p.Extensions.Port(), err)
				}
				d, open, err := i.HandleSYNACK(start, l.synack(syn))
				if err != nil {
					t.Fatalf("%s, port %d: %v", tt.name, port, err)
				}
				s, _, err := l.r.HandleOPEN(start, open)
				if err != nil || d.Port != port || s.Port != port || s.Hearsay {
					t.Errorf("%s: dialled %d: %d here, %d there (hearsay %v), %v", tt.name, port, d.Port, s.Port, s.Hearsay, err)
				}
				wantTalk(t, d, s)
			}
		}
	}
}

// TestPortAltered: who alters PORT on the way does not have the instance believe
// it. Only removing it goes unnoticed at first, as an instance that is too old to
// know it looks the same.
func TestPortAltered(t *testing.T) {
	for _, tt := range []struct {
		name     string
		dialled  uint16
		arrives  []byte
		datagram bool
		want     error
	}{
		{"another", 80, []byte{0, 81}, false, ErrForged},
		{"another, datagrams", 80, []byte{0, 81}, true, ErrForged},
		{"added", 0, []byte{0, 80}, false, ErrForged},
		{"added, datagrams", 0, []byte{0, 80}, true, ErrForged},
		{"removed", 80, nil, false, nil},
		{"removed, datagrams", 80, nil, true, ErrNoPorts},
		{"port 0 is none", 80, []byte{0, 0}, true, ErrNoPorts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			i := l.asking(tt.dialled, tt.datagram)
			_, open, err := i.HandleSYNACK(start, l.synack(withPort(t, i.SYN(), tt.arrives)))
			wantErr(t, err, tt.want)
			if tt.want != nil { // the genuine SYN, though late, is another
				if _, open, err = i.HandleSYNACK(start, l.synack(i.SYN())); err != nil {
					t.Fatal(err)
				}
			}
			s, _, err := l.r.HandleOPEN(start, open)
			if err != nil || s.Port != tt.dialled {
				t.Errorf("the instance takes port %d for dialled, want %d; %v", s.Port, tt.dialled, err)
			}
		})
	}
}

// TestPayloadPort: the port comes behind what older nodes read, and they ignore
// what follows that.
func TestPayloadPort(t *testing.T) {
	bare := (&payload{service: "web"}).append(nil)
	for _, tt := range []struct {
		name string
		tail []byte
		port uint16
		ok   bool
	}{
		{"no ticket, no port", nil, 0, true},
		{"empty ticket", []byte{0}, 0, true},
		{"port", []byte{0, 1, 2}, 0x102, true},
		{"port and what comes later", []byte{0, 1, 2, 3, 4}, 0x102, true},
		{"ticket and port", []byte{2, 'o', 'k', 0, 80}, 80, true},
		{"half a port", []byte{0, 1}, 0, false},
		{"ticket cut short", []byte{3, 'o', 'k'}, 0, false},
	} {
		p, ok := parsePayload(append(append([]byte(nil), bare...), tt.tail...))
		if ok != tt.ok || ok && p.port != tt.port {
			t.Errorf("%s: port %d, %v; want %d, %v", tt.name, p.port, ok, tt.port, tt.ok)
		}
	}
}
