package handshake

import (
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// ResetToken returns the token with which node id may end the connection on its
// flow after it has lost all state but its key. The peer learns it, encrypted,
// in Params; nobody else can compute it.
func ResetToken(id *identity.Identity, flow sal.FlowID) [16]byte {
	s := id.Secret("stateless reset " + flow.String())
	return [16]byte(s[:16])
}

// finish fills in the session's secrets from the final handshake state.
func (s *Session) finish(state *symmetric, dialler bool) {
	s.SendSecret, s.RecvSecret = state.split()
	s.JoinSecret = joinSecret(&s.SendSecret)
	if !dialler {
		s.SendSecret, s.RecvSecret = s.RecvSecret, s.SendSecret
	}
	s.Binding = state.h
}

// joinSecret derives from the dialler's secret; seal derives from it under
// other labels.
func joinSecret(fromDialler *[32]byte) [32]byte {
	return derive(fromDialler, "serval join")
}
