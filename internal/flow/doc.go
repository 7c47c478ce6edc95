// Package flow is the pure core of one path of a connection: packet numbers,
// acknowledgements, loss detection, round-trip time, delivery-rate model,
// pacing and path MTU discovery.
//
// It does no I/O, starts no goroutine and reads no clock: every event comes
// with its time, and Deadline says when Timeout wants to be called. It knows
// nothing of streams; what a packet carried is a Record that comes back to the
// Owner once as acknowledged or as lost. Vocabulary and rules follow RFC 9002
// (loss detection) and draft-ietf-ccwg-bbr (rate model). Nothing here is safe
// for concurrent use.
package flow
