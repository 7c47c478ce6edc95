package main

import (
	"context"
	"net"
	"strings"

	"github.com/serval-net/serval/pkg/serval"
)

// overTCP begins the addresses that are not services.
const overTCP = "tcp:"

// network is all that the greeter and its callers need of one: a *serval.Node is.
type network interface {
	Listen(name string) (net.Listener, error)
	DialContext(ctx context.Context, network, name string) (net.Conn, error)
}

// over returns the network that an address is of, to be closed in the end.
func over(address string) (_ network, closeNetwork func() error, _ error) {
	if strings.HasPrefix(address, overTCP) {
		return &plain{}, func() error { return nil }, nil
	}
	node, err := serval.Default()
	if err != nil {
		return nil, nil, err
	}
	return services{node}, node.Close, nil
}

// services is a serval.Node whose listeners have no type.
type services struct{ *serval.Node }

// Listen is Node.Listen.
func (s services) Listen(name string) (net.Listener, error) { return s.Node.Listen(name) }

// plain is TCP.
type plain struct{ net.Dialer }

// Listen is net.Listen.
func (*plain) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }
