package nodectl

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/serval-net/serval/internal/unixsock"
)

// Client asks one node. Its methods are safe for concurrent use.
type Client struct {
	Info
	path string
	http http.Client
}

// newClient returns a client of the socket at path, which must belong to a user:
// to whom the directory it is in does.
func newClient(path string, owner int) *Client {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true, // nothing to close
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
			if err != nil {
				return nil, err
			}
			if err := unixsock.CheckPeer(conn, owner); err != nil {
				conn.Close()
				return nil, err
			}
			return conn, nil
		},
	}
	return c
}

// List asks all nodes with a socket in dir who they are, and returns those that
// answer before ctx ends, in the order of their sockets' names. err says of the
// others why not. Sockets of processes that died are removed. A dir that does
// not exist has none.
func List(ctx context.Context, dir string) (clients []*Client, err error) {
	owner, err := unixsock.Owner(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("nodectl: %w", err)
	}
	if me := os.Geteuid(); owner != me && owner != 0 && me != 0 {
		return nil, fmt.Errorf("nodectl: %s belongs to user %d", dir, owner)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("nodectl: %w", err)
	}
	all := make([]*Client, len(entries))
	errs := make([]error, len(entries))
	var wg sync.WaitGroup
	for i, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) || e.Type()&os.ModeSocket == 0 {
			continue
		}
		wg.Go(func() {
			c := newClient(filepath.Join(dir, e.Name()), owner)
			err := c.do(ctx, "GET", "/v1/node", nil, &c.Info)
			switch {
			case err == nil:
				c.Node, c.Name, c.Program = Clean(c.Node), Clean(c.Name), Clean(c.Program)
				all[i] = c
			case !dead(c.path, err):
				errs[i] = err
			case owner == os.Geteuid(): // another user's is for them to remove
				os.Remove(c.path)
			}
		})
	}
	wg.Wait()
	for _, c := range all {
		if c != nil {
			clients = append(clients, c)
		}
	}
	return clients, errors.Join(errs...)
}

// Path returns the path of the node's socket.
func (c *Client) Path() string { return c.path }

// Conns returns the node's connections.
func (c *Client) Conns(ctx context.Context) ([]Conn, error) {
	var a connsAnswer
	err := c.do(ctx, "GET", "/v1/conns", nil, &a)
	return a.Conns, err
}

// Paths returns the node's paths.
func (c *Client) Paths(ctx context.Context) ([]Path, error) {
	var a pathsAnswer
	err := c.do(ctx, "GET", "/v1/paths", nil, &a)
	return a.Paths, err
}

// Migrate moves flows, and returns how many.
func (c *Client) Migrate(ctx context.Context, s Selection, to Target) (moved int, err error) {
	var a countAnswer
	err = c.do(ctx, "POST", "/v1/migrate", migrateRequest{s, to}, &a)
	return a.Count, err
}

// SetPolicy changes connections' policy, and returns of how many.
func (c *Client) SetPolicy(ctx context.Context, s Selection, policy string) (changed int, err error) {
	var a countAnswer
	err = c.do(ctx, "POST", "/v1/policy", policyRequest{s, policy}, &a)
	return a.Count, err
}

// Undrain ends what Drain began.
func (c *Client) Undrain(ctx context.Context, what string) error {
	return c.do(ctx, "POST", "/v1/undrain", drainRequest{what}, &struct{}{})
}

// Drain moves all flows off an interface or address and returns when none is
// left; progress hears how many are. A process that ends meanwhile has none.
func (c *Client) Drain(ctx context.Context, what string, progress func(left int)) error {
	_, err := c.drained(ctx, "/v1/drain", drainRequest{what}, progress)
	return err
}

// drained asks for a drain and returns when nothing is left, and what was ended.
func (c *Client) drained(ctx context.Context, path string, req any, progress func(left int)) (Moved, error) {
	resp, err := c.send(ctx, "POST", path, req)
	if err != nil {
		return Moved{}, err
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); ; {
		var line drainLine
		err := d.Decode(&line)
		switch {
		case ctx.Err() != nil:
			return Moved{}, ctx.Err()
		case isSyntax(err):
			return Moved{}, c.invalid(err)
		case err != nil || line.Done:
			progress(0)
			return line.Moved, nil
		case line.Error != "":
			return Moved{}, c.refused(resp.StatusCode, line.Error)
		}
		progress(line.Left)
	}
}

func isSyntax(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &kind)
}

// maxLine is the most bytes of an event, or of an error.
const maxLine = 64 << 10

// Events calls f with what happens from now on, until ctx ends, which is no
// error, or the node does, which is io.EOF. ready, if not nil, is called first,
// when nothing is missed any more.
func (c *Client) Events(ctx context.Context, ready func(), f func(Event)) error {
	resp, err := c.send(ctx, "GET", "/v1/events", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if ready != nil {
		ready()
	}
	s := bufio.NewScanner(resp.Body)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		var e Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			return c.invalid(err)
		}
		f(e)
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(s.Err(), bufio.ErrTooLong):
		return c.invalid(s.Err())
	}
	return io.EOF
}

// Error is a refusal by a node.
type Error struct {
	Process string // such as "process 4711 (curl)"
	Status  int    // of HTTP
	Text    string
}

func (e *Error) Error() string { return e.Process + ": " + e.Text }

// maxAnswer is far above the answer of a node with 100,000 connections.
const maxAnswer = 256 << 20

// do makes a request with a JSON body, if in is not nil, and decodes the answer.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.invalid(err)
	}
	return nil
}

// send makes a request and returns the answer if it is not an error.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	req, err := unixsock.NewRequest(ctx, method, path, in)
	if err != nil {
		return nil, fmt.Errorf("nodectl: %w", err)
	}
	resp, err := unixsock.Do(&c.http, req)
	if err != nil {
		return nil, fmt.Errorf("%s does not answer: %w", c.process(), err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var f failure
	if json.NewDecoder(io.LimitReader(resp.Body, maxLine)).Decode(&f) != nil || f.Error == "" {
		f.Error = "it answers " + resp.Status
	}
	return nil, c.refused(resp.StatusCode, f.Error)
}

func (c *Client) refused(status int, text string) error {
	return &Error{Process: c.process(), Status: status, Text: Clean(text)}
}

func (c *Client) invalid(err error) error {
	return fmt.Errorf("%s gives an answer that is not valid: %w", c.process(), err)
}

// Clean replaces what would steer a terminal in a text that another process, or
// a node elsewhere, has chosen.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if odd(r) {
			return '?'
		}
		return r
	}, s)
}

// process names the process for people.
func (c *Client) process() string {
	if c.PID == 0 {
		pid, _, _ := strings.Cut(filepath.Base(c.path), "-")
		return "process " + pid
	}
	return fmt.Sprintf("process %d (%s)", c.PID, c.Program)
}
