// Package mark marks the connections that servald opens to servers for others, so that
// what captures connections leaves them alone: else a server whose address is captured
// would be reached through itself.
package mark

// Value is the mark of sockets (SO_MARK).
const Value = 0x53565244 // "SVRD"
