// Package rsyn is the state machine by which the two ends of one flow agree
// where it is, whoever moves, however often, and both at once.
//
// Each end rules over its own address alone. So the state of a flow is two
// registers with one writer each: an end writes its own by [Machine.Move] and
// copies the peer's, and a version number that rises with each move makes every
// order of arrival end in the same place. There is no joint state, so there is
// none that both ends moving at once could confuse.
//
// One move, of the left end from a1 to a2:
//
//	a2                                              b1
//	 |  RSYN version, nonce                          |   the peer's register has a
//	 |---------------------------------------------->|   new value, not yet proven
//	 |          RESPONSE nonce, CHALLENGE c          |
//	 |<----------------------------------------------|
//	Confirmed: data leaves from a2                   |
//	 |  RESPONSE c                                   |
//	 |---------------------------------------------->|   RemoteMoved: data goes to a2
//
// What an end knows of its own address, and of the peer's:
//
//	            Move                              RSYN, newer, other address
//	settled -----------> moving <-. timeout:    settled ---------> asked <-. timeout:
//	   ^                   |  |___| RSYN again     ^                 | |___| CHALLENGE again
//	   |___________________|                       |_________________|
//	     RESPONSE to its nonce: Confirmed            RESPONSE from there: RemoteMoved
//
// An RSYN is sealed and numbered like any packet, so it cannot be forged or
// replayed; but it can be copied, and sent on from another address before the
// original arrives. Therefore an address becomes the remote only when it has
// answered a CHALLENGE that was sent to it, and an end does not answer CHALLENGEs
// that come from where the peer is not known to be. Until then at most three
// times the bytes that came from an address are sent to it.
//
// Without any RSYN, the newest packet of a flow from another address may be a
// NAT that has changed its mind, or a copy. Both addresses are asked. If the one
// in use answers it stays; see [Machine.Newest]. The acceptor of a JOIN starts
// with an address that is still to prove itself, see [NewJoined].
//
// The machine does no I/O, owns no memory and knows neither clock nor dice: the
// caller hands in what has come, the time and fresh random numbers, and sends
// what is returned. It is a comparable value, copied by assignment, and not safe
// for concurrent use. Its tests explore all that two machines and a bad network
// can do within bounds.
package rsyn
