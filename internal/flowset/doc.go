// Package flowset is the pure core of a connection: a byte stream in each
// direction over a set of flows. It cuts what the application wrote into
// packets, chooses the flow that carries each, repairs losses on whichever
// flow is best, puts what arrives in order within a bounded window, and keeps
// both ends' windows.
//
// Like package flow it does no I/O and reads no clock. A driver calls Receive
// for every datagram, Timeout when Deadline has come, and after each of them
// Transmit until it returns nothing. Not safe for concurrent use: its owner
// holds one lock per connection.
package flowset
