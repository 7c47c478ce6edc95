package command

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestSide(t *testing.T) {
	type spec struct{ Kind string }
	said := ""
	server := func(system string, addr netip.AddrPort) error {
		said = system + " at " + addr.String()
		return nil
	}
	client := func(system string, s spec) error {
		said = system + " does " + s.Kind
		return nil
	}
	for _, c := range []struct {
		args []string
		want string // empty: an error
	}{
		{[]string{"server", "tcp", "127.0.0.1:7"}, "kernel at 127.0.0.1:7"},
		{[]string{"client", "tcp", `{"Kind":"bulk"}`}, "kernel does bulk"},
		{[]string{"server", "tcp"}, ""},
		{[]string{"server", "pigeon", "127.0.0.1:7"}, ""},
		{[]string{"server", "tcp", "here"}, ""},
		{[]string{"client", "tcp", "bulk"}, ""},
		{[]string{"middle", "tcp", "127.0.0.1:7"}, ""},
	} {
		said = ""
		err := Side(c.args, map[string]string{"tcp": "kernel"}, server, client)
		if said != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q, %v", c.args, said, err)
		}
	}
}

func TestPauseEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if err := Pause(ctx, time.Millisecond); err != nil {
		t.Error(err)
	}
	cancel()
	if err := Pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
