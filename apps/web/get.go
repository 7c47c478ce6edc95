package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// attempts is how many instances may fail in a row before get gives up.
const attempts = 5

// fetcher fetches files by service name.
type fetcher struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	log  io.Writer // what happens, for people
}

// download is one file on its way; it survives the instances that it comes from.
type download struct {
	url      string
	w        io.Writer
	done     int64
	modified string // Last-Modified of the first answer: all parts must be of one file
	lost     time.Time
}

// get fetches path from an instance of the service and writes it to w.
func (f *fetcher) get(ctx context.Context, w io.Writer, service, path string) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return f.dial(ctx, network, service)
	}}
	defer transport.CloseIdleConnections()
	d := &download{url: (&url.URL{Scheme: "http", Host: "service", Path: path}).String(), w: w}
	start := time.Now()
	for failed := 0; ; {
		before := d.done
		final, err := f.part(ctx, transport, d)
		if err == nil {
			seconds := time.Since(start).Seconds()
			fmt.Fprintf(f.log, "%d bytes in %.2f s, %.0f Mbit/s\n", d.done, seconds, float64(d.done)*8/1e6/seconds)
			return nil
		}
		if failed++; d.done > before {
			failed = 0
		}
		if final || failed == attempts || ctx.Err() != nil {
			return err
		}
		d.lost = time.Now()
		fmt.Fprintf(f.log, "lost the instance at %d bytes: %v\n", d.done, err)
	}
}

// part fetches what is missing. final says that trying again would not help.
func (f *fetcher) part(ctx context.Context, t *http.Transport, d *download) (final bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return true, err
	}
	if d.done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.done))
		req.Header.Set("If-Range", d.modified)
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	switch from := resp.Header.Get(instanceHeader); {
	case resp.StatusCode == http.StatusOK && d.done == 0:
		fmt.Fprintf(f.log, "from %s\n", from)
	case resp.StatusCode == http.StatusPartialContent && d.done > 0:
		fmt.Fprintf(f.log, "going on from %s after %.1f ms\n", from, time.Since(d.lost).Seconds()*1000)
	case resp.StatusCode == http.StatusOK:
		return true, errors.New("the instances have different versions of the file: fetch it again")
	default:
		return true, fmt.Errorf("%s: %s", d.url, resp.Status)
	}
	d.modified = resp.Header.Get("Last-Modified")
	n, err := io.Copy(d.w, resp.Body)
	d.done += n
	return false, err
}
