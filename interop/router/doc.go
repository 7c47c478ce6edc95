// Package router holds the test of service routers on real networks: a client
// behind a NAT, a router and an instance, each a process in a subnet of its own.
package router
