package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/unixsock"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Client uses the daemon at a socket. It is a resolver.Resolver, Lister,
// Follower, Registrar and Feedback. All methods are safe for concurrent use.
type Client struct {
	// HooksOff keeps the daemon from running hooks for what is resolved, as
	// resolver.WithoutHooks does for one call. Set it before the first.
	HooksOff bool

	socket string
	http   http.Client
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   sync.WaitGroup
	news   chan feedback

	attending sync.Once // see attend

	mu     sync.Mutex
	leases map[*clientLease]struct{} // that are open
	daemon string                    // that attend met last
}

const (
	// requestTimeout bounds a request to the daemon, which is on this host.
	requestTimeout = 5 * time.Second
	// resolveTimeout bounds Resolve, where the daemon may have to start an
	// instance first.
	resolveTimeout = 10 * time.Minute
)

// NewClient returns a client of the daemon at the socket, such as FindSocket
// finds. It connects when it is used.
func NewClient(socket string) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		socket: socket,
		http: http.Client{
			Transport: &http.Transport{
				DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket) },
				MaxIdleConns:    4,
				IdleConnTimeout: time.Minute,
			},
		},
		ctx:    ctx,
		cancel: cancel,
		news:   make(chan feedback, 64),
	}
	c.done.Go(c.sendFeedback)
	return c
}

// dial connects to a daemon, and makes sure that it is one of whom the socket's
// directory belongs to, of root or of this user: what another answers could lead
// anywhere.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	owner, err := unixsock.Owner(filepath.Dir(socket))
	if err != nil {
		return nil, err
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if err := unixsock.CheckPeer(c, owner); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the client. Leases that are still open are no longer renewed; close
// them first to withdraw them.
func (c *Client) Close() error {
	c.cancel()
	c.done.Wait()
	c.http.CloseIdleConnections()
	return nil
}

// Resolve implements resolver.Resolver.
func (c *Client) Resolve(ctx context.Context, service sal.Name) ([]resolver.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var found services
	query := "?name=" + url.QueryEscape(service.String())
	if c.HooksOff || resolver.HooksOff(ctx) {
		query += "&hooks=off"
	}
	err := c.ask(ctx, "GET", "/v1/resolve"+query, nil, &found)
	if err == nil {
		return found.decode()
	}
	none, said := &resolver.NoServiceError{Service: service}, new(Error)
	switch {
	case !errors.As(err, &said):
		return nil, err
	case said.Code == codeNoService && said.delayed:
		return nil, &resolver.DelayedError{Service: service}
	case said.Code == codeNoService && said.Text != none.Error():
		return nil, &resolver.ReasonError{Kind: resolver.ErrNoService, Text: said.Text}
	case said.Code == codeNoService:
		return nil, none
	case said.Code == codeRefused:
		return nil, &resolver.ReasonError{Kind: resolver.ErrRefused, Text: said.Text}
	}
	return nil, err
}

// Services implements resolver.Lister.
func (c *Client) Services(ctx context.Context) ([]resolver.Instance, error) {
	var all services
	if err := c.do(ctx, "GET", "/v1/services", nil, &all); err != nil {
		return nil, err
	}
	return all.decode()
}

// Status decodes what the daemon says of itself into v, as package json does.
func (c *Client) Status(ctx context.Context, v any) error {
	return c.do(ctx, "GET", "/v1/status", nil, v)
}

// Reload makes the daemon read its configuration again, and decodes what it says of
// that into v, as package json does. It takes as long as starting what is new.
func (c *Client) Reload(ctx context.Context, v any) error {
	return c.ask(ctx, "POST", "/v1/reload", nil, v)
}

// Certify asks the daemon for a membership certificate.
func (c *Client) Certify(ctx context.Context, request []byte) ([]byte, error) {
	var made certificate
	err := c.do(ctx, "POST", "/v1/certificate", certificate{Request: request}, &made)
	return made.Certificate, err
}

// Report implements resolver.Feedback. It does not wait.
func (c *Client) Report(in resolver.Instance, ok bool) {
	select {
	case c.news <- feedback{encodeInstance(in), ok}:
	default: // the daemon hears of the next one
	}
}

func (c *Client) sendFeedback() {
	for {
		select {
		case f := <-c.news:
			c.do(c.ctx, "POST", "/v1/feedback", f, nil) // it is only a hint
		case <-c.ctx.Done():
			return
		}
	}
}

// Error is a refusal by the daemon.
type Error struct {
	Status int    // of HTTP
	Code   string // for programs; may be empty
	Text   string

	delayed bool
}

func (e *Error) Error() string { return "servald: " + e.Text }

// maxAnswer is above the answer with a million instances.
const maxAnswer = 512 << 20

// do makes a request with a JSON body, if in is not nil, and decodes the answer.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return c.ask(ctx, method, path, in, out)
}

// ask is do with the caller's patience.
func (c *Client) ask(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := decoder(resp).Decode(out); err != nil {
		return fmt.Errorf("control: the daemon's answer is not valid: %w", err)
	}
	return nil
}

// open makes a request and returns the answer if it is a good one.
func (c *Client) open(ctx context.Context, method, path string, in any) (*http.Response, error) {
	req, err := unixsock.NewRequest(ctx, method, path, in)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	resp, err := unixsock.Do(&c.http, req)
	if err != nil {
		return nil, fmt.Errorf("control: the daemon does not answer, check that servald runs and listens at %s: %w", c.socket, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var f failure
	if decoder(resp).Decode(&f) != nil || f.Error == "" {
		f.Error = "it answers " + resp.Status
	}
	return nil, &Error{Status: resp.StatusCode, Code: f.Code, Text: f.Error, delayed: f.Delayed}
}

func decoder(resp *http.Response) *json.Decoder {
	return json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
}
