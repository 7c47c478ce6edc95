package handshake

import (
	"bytes"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

func FuzzHandleSYN(f *testing.F) {
	l := newLab(f)
	i := l.initiator()
	f.Add(i.SYN())
	cookie := i.syn
	cookie.Extensions = sal.Extensions{byte(sal.ExtCookie), 2, 1, 2}
	f.Add(cookie.Append(nil))
	f.Add(l.asking(443, true).SYN())
	f.Fuzz(func(t *testing.T, pkt []byte) {
		reply, opened, err := l.r.HandleSYN(start, pkt, client, l.offer)
		if err != nil && (reply != nil || opened) {
			t.Fatal("an error and an answer")
		}
		if len(reply) > sal.AmplificationLimit*len(pkt) {
			t.Fatalf("%d bytes in, %d out", len(pkt), len(reply))
		}
		l.r.Timeout(start.Add(halfOpenLife)) // so that the table does not fill
	})
}

func FuzzHandleSYNACK(f *testing.F) {
	l := newLab(f)
	i := l.initiator()
	good := l.synack(i.SYN())
	f.Add(good)
	f.Add(good[:60])
	f.Add(l.synack(l.asking(443, true).SYN())) // of another dial
	f.Fuzz(func(t *testing.T, pkt []byte) {
		s, open, err := i.HandleSYNACK(start, pkt)
		if (err == nil) != (s != nil && open != nil) {
			t.Fatal("neither error nor session, or both")
		}
		if err == nil && !sameFields(sal.ParseSYNACK, pkt, good) {
			p, _ := sal.ParseSYNACK(pkt)
			q, _ := sal.ParseSYNACK(good)
			if p.Extensions = q.Extensions; !bytes.Equal(p.Append(nil), q.Append(nil)) {
				t.Fatal("a forged SYN-ACK was accepted")
			}
		}
		i.HandleCookie(pkt)
		i.HandleRefuse(pkt)
	})
}

func FuzzHandleOPEN(f *testing.F) {
	l := newLab(f)
	i := l.initiator()
	_, good := l.open(i)
	f.Add(good)
	f.Add(good[:40])
	f.Add(append(bytes.Clone(good), 1, 2, 3))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		s, _, err := l.r.HandleOPEN(start, pkt)
		if err == nil && s == nil {
			t.Fatal("neither error nor session")
		}
		if s != nil { // that was the genuine one: wait for it again
			if o, _ := sal.ParseOpen(pkt); !bytes.Contains(good, o.Noise) {
				t.Fatal("a forged OPEN was accepted")
			}
			l.TB, l.flows = t, 0
			_, good = l.open(i)
		}
	})
}

func FuzzPayload(f *testing.F) {
	p := payload{service: "web", chain: []byte("chain"), header: []byte("header"), maxDatagram: 1200}
	f.Add(p.append(nil))
	p.port = 443
	f.Add(p.append(nil))
	p.ticket = []byte("ticket")
	f.Add(p.append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parsePayload(b)
		if ok && !bytes.HasPrefix(b, p.append(nil)) {
			t.Fatal("what was parsed does not encode as it was")
		}
		p.name()
	})
}
