package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/serval"
)

// skewed registers services at the host's servald as a host does whose clock is
// off: what it signs bears a time that is. It renews nothing.
type skewed struct {
	http http.Client
	off  time.Duration
}

// listenSkewed listens at a service, with a registrar whose clock is off.
func listenSkewed(service, off string) (net.Listener, error) {
	by, err := time.ParseDuration(off)
	if err != nil {
		return nil, err
	}
	cfg, err := serval.ConfigFromEnv()
	if err != nil {
		return nil, err
	}
	s := &skewed{off: by}
	s.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", control.SocketPath())
	}}
	cfg.Registrar = s
	n, err := serval.NewNode(cfg)
	if err != nil {
		return nil, err
	}
	return n.Listen(service)
}

// Register implements resolver.Registrar.
func (s *skewed) Register(ctx context.Context, reg resolver.Registration) (resolver.Lease, error) {
	now := time.Now().Add(s.off)
	record, err := reg.Announce(now)
	if err != nil {
		return nil, err
	}
	end, err := reg.Withdraw(now)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string][]byte{"record": record.Raw(), "withdrawal": end.Raw()})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://serval/v1/register", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, fmt.Errorf("the servald refuses the registration: %s", why)
	}
	return kept{}, nil
}

// kept is a lease that lasts as long as its record.
type kept struct{}

func (kept) Close(context.Context) error { return nil }
