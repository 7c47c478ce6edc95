//go:build deps

// Package deps pins modules before their first use; it is never built.
package deps

import (
	_ "github.com/cespare/xxhash/v2"
	_ "github.com/flynn/noise"
	_ "github.com/hashicorp/memberlist"
	_ "github.com/quic-go/quic-go"
	_ "github.com/songgao/water"
	_ "github.com/spf13/cobra"
	_ "github.com/vishvananda/netlink"
	_ "github.com/vishvananda/netns"
	_ "golang.org/x/crypto/chacha20poly1305"
	_ "golang.org/x/net/nettest"
	_ "golang.org/x/sys/unix"
	_ "google.golang.org/grpc"
	_ "google.golang.org/protobuf/proto"
	_ "gvisor.dev/gvisor/pkg/tcpip/stack"
)
