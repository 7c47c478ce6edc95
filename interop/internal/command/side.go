package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// Side runs this process as one side of a connection over one of the systems, as
// the arguments say:
//
//	server SYSTEM ADDR
//	client SYSTEM SPEC    (JSON)
func Side[System, Spec any](
	args []string, systems map[string]System,
	server func(System, netip.AddrPort) error, client func(System, Spec) error,
) error {
	if len(args) != 3 {
		return errors.New("want: server SYSTEM ADDR, or client SYSTEM SPEC")
	}
	system, ok := systems[args[1]]
	if !ok {
		return fmt.Errorf("unknown system %q", args[1])
	}
	switch args[0] {
	case "server":
		addr, err := netip.ParseAddrPort(args[2])
		if err != nil {
			return err
		}
		return server(system, addr)
	case "client":
		var spec Spec
		if err := json.Unmarshal([]byte(args[2]), &spec); err != nil {
			return err
		}
		return client(system, spec)
	}
	return fmt.Errorf("unknown side %q", args[0])
}
