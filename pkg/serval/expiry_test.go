package serval

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/identity"
)

// TestExpiryEndsMoves: a certificate that expires while a connection is open is
// good for no further move and no further flow.
func TestExpiryEndsMoves(t *testing.T) {
	t.Parallel()
	root := identity.NewRoot()
	grant := func(end time.Duration) *identity.Identity {
		now := time.Now()
		token, err := root.Grant(identity.Grant{Lifetime: time.Hour}, now.Add(end-time.Hour))
		must(t, err)
		id, err := token.Join(identity.Member{Name: "brief"}, now)
		must(t, err)
		return id
	}
	for _, by := range []string{"RSYN", "JOIN", "RSYN of the server"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			w := newTwo(t, Config{}, Config{})
			brief, long := grant(3*time.Second), grant(time.Hour)
			who := map[string]*identity.Identity{w.s1.String(): long, w.c1.String(): brief}
			if by == "RSYN of the server" {
				who[w.s1.String()], who[w.c1.String()] = brief, long
			}
			open := func(h *simnet.Host, at netip.Addr) *Node {
				n, err := NewNode(Config{network: h, Identity: who[at.String()], Resolver: w.book})
				must(t, err)
				t.Cleanup(func() { n.Close() })
				return n
			}
			a, b := w.pairOn(open(w.clientHost, w.c1), open(w.serverHost, w.s1))
			go echoOn(b)
			must(t, ask(a, "while it is valid"))
			mover, other := a, b
			if by == "RSYN of the server" {
				mover, other = b, a
			}
			was := other.PeerIdentity()
			to := w.c2
			if mover == b {
				to = w.s2
			}
			home := mover.Flows()[0].Local.Addr()
			migrate(t, mover, to)
			migrate(t, mover, home)
			if !reflect.DeepEqual(other.PeerIdentity(), was) || was.Node != mover.link.node.ID() {
				t.Errorf("after a move the peer is %v, was %v", other.PeerIdentity(), was)
			}
			time.Sleep(time.Until(was.Expires.Add(100 * time.Millisecond)))
			must(t, ask(a, "nothing moves, so nobody asks"))
			if by == "JOIN" {
				go a.Write(make([]byte, 2*bulkJoin)) // worth another flow
			} else {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				if err := mover.Migrate(ctx, MigrateTo{Addr: to}); !errors.Is(err, ErrNotAuthorized) && !errors.Is(err, ErrReset) {
					t.Errorf("Migrate: %v", err)
				}
			}
			// The mover may hear first, in answer to its next RSYN, that the
			// connection is no longer known.
			mover.SetDeadline(time.Now().Add(5 * time.Second))
			var err error
			for err == nil {
				_, err = mover.Read(make([]byte, 1<<16))
			}
			if !errors.Is(err, ErrReset) {
				sentence(t, err, ErrNotAuthorized, "expired")
			}
			other.link.mu.Lock()
			err = cause(other.link.set.Err())
			other.link.mu.Unlock()
			sentence(t, err, ErrNotAuthorized, "expired")
			for _, n := range []*Node{a.link.node, b.link.node} {
				eventually(t, "both ends have forgotten it", func() bool { return n.Stats().Connections == 0 })
			}
		})
	}
}
