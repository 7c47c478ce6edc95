package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/expose"
)

// openNode starts a node as serval.ConfigFromEnv describes it, where the flags stand
// for their variables. Where neither a token nor a running servald admits it, the
// token that join has stored does.
func openNode(_ context.Context, a *App) (node, error) {
	if err := a.setEnvironment(); err != nil {
		return nil, err
	}
	if _, running := control.FindSocket(); !running && os.Getenv("SERVAL_TOKEN") == "" {
		h, err := a.openHome()
		if err != nil {
			return nil, err
		}
		if _, err := h.Token(); err != nil { // says what to do
			return nil, err
		}
		os.Setenv("SERVAL_TOKEN", h.TokenFile())
	}
	cfg, err := serval.ConfigFromEnv()
	if err != nil {
		return nil, err
	}
	cfg.Patience, cfg.Logger, cfg.Window = a.patience, a.logger(), a.window
	n, err := serval.NewNode(cfg)
	if err != nil {
		return nil, err
	}
	return stack{n, expose.On(n)}, nil
}

// setEnvironment puts the flags that were given into their variables.
func (a *App) setEnvironment() error {
	listen := make([]string, len(a.listen))
	for i, text := range a.listen {
		addr, err := parseAddr(text)
		if err != nil {
			return err
		}
		listen[i] = addr.String()
	}
	for variable, value := range map[string]string{
		"SERVAL_SOCKET": a.socket,
		"SERVAL_LISTEN": strings.Join(listen, ","),
		"SERVAL_JOIN":   strings.Join(a.join, ","),
	} {
		if value != "" {
			os.Setenv(variable, value)
		}
	}
	return nil
}

// parseAddr reads an IP address with or without a port, which is 0 then.
func parseAddr(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(addr, 0), nil
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, usageError{fmt.Errorf("%q is not an address of this host: write one with or without a port, such as 192.0.2.1 or [2001:db8::1]:7000", text)}
	}
	return addr, nil
}
