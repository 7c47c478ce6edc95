package unixsock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
)

// NewRequest makes a request of a server behind a socket, which the client's
// dialler knows, whatever the URL says. Its body is in as JSON, or empty if in is
// nil.
func NewRequest(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	return http.NewRequestWithContext(ctx, method, "http://serval"+path, body)
}

// Do is c.Do, but its error does not name the URL, which means nothing to
// anybody.
func Do(c *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := c.Do(req)
	if where := new(url.Error); errors.As(err, &where) {
		err = where.Err
	}
	return resp, err
}
