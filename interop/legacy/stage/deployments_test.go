//go:build linux

package stage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/serval-net/serval/interop/legacy/stage"
)

// The deployments of OCALA beside the one with a proxy at both ends, which is that of
// all the programs of the catalogue.

// TestRemoteServerProxy: a server that cannot run anything is offered by a neighbour.
func TestRemoteServerProxy(t *testing.T) {
	s, ctx := open(t)
	legacy, err := s.NeighbourOf(s.Net.Server)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, legacy.Host, legacy.Addr.String()+":7")
	offer(t, ctx, s, legacy.Addr.String()+":7")
	says(t, s.Client, forwards(t, ctx, s), 3)
}

// TestRemoteClientProxy: a client of which only the name server and the route are set,
// both to a neighbour's servald, reaches services by their names.
func TestRemoteClientProxy(t *testing.T) {
	s, ctx := open(t)
	legacy, err := s.NeighbourOf(s.Net.Client)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Net.Client.Forward(); err != nil {
		t.Fatal(err)
	}
	if err := s.Configure(ctx, fmt.Sprintf("[tun]\n[dns]\nlisten = [\"%s:53\"]\nresolv_conf = \"off\"\n", legacy.Via)); err != nil {
		t.Fatal(err)
	}
	if _, err := stage.Run(ctx, legacy.Host, nil, "/bin/sh", "-c", "echo nameserver "+legacy.Via.String()+" > /etc/resolv.conf"); err != nil {
		t.Fatal(err)
	}
	offered(t, ctx, s)
	says(t, legacy.Host, "echo.svc.serval:7", 3)
	if _, err := stage.Run(ctx, legacy.Host, nil, "/bin/bash", "-c", "exec 3<>/dev/tcp/nobody.svc.serval/7"); err == nil {
		t.Error("a service that nobody offers answered")
	} else if !strings.Contains(err.Error(), "not known") {
		t.Errorf("a service that nobody offers: %v", err)
	}
}
