// Package tun ends the IP packets of programs that know nothing of Serval: a TUN
// device at one side, and at the other a [Handler] that says what stream, datagrams
// or echo each is for.
//
//	program ── kernel ── Device ══ link ══ gVisor netstack ── Handler
//	                                 TCP     Stream: splice
//	                                 UDP     Datagrams: one flow for each client and address
//	                                 ICMP    Ping: echo replies; errors for what nobody serves
//
// Every address is taken for the stack's own. A SYN is answered only when Handler has
// opened the stream, so that a program's connect fails as it would on the other side.
//
// Everything is bounded by [Config]: streams, those that are being opened, their
// buffers together, datagram flows and what waits in each. A TUN is written and read
// without queues of our own: TCP's windows and the device's queue hold back.
package tun
