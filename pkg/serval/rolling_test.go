package serval

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRollingRestartHTTP restarts replicas of a web service one after the other
// under clients that keep connections alive and others that dial for each request:
// no request fails. Shutdown alone would not do: from then on an http.Server drops
// requests that it has not read yet, those on new connections too.
func TestRollingRestartHTTP(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.flat = true
	type replica struct {
		node *Node
		ln   *Listener
		srv  *http.Server
		done chan error
	}
	host := 1
	start := func() *replica {
		host++
		l.delay(1, host, time.Millisecond)
		r := &replica{node: l.node(host), done: make(chan error, 1)}
		var err error
		r.ln, err = r.node.Listen("svc:web")
		must(t, err)
		r.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })}
		go func() { r.done <- r.srv.Serve(r.ln) }()
		return r
	}
	var replicas []*replica
	for range 3 {
		replicas = append(replicas, start())
	}

	client := l.node(1)
	var requests atomic.Int64
	var failed sync.Map
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 6 {
		transport := &http.Transport{DialContext: client.DialContext, DisableKeepAlives: i%3 == 0}
		c := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		clients.Go(func() {
			defer transport.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := get(c, "http://web.svc.serval/"); err != nil {
					failed.Store(err.Error(), true)
				}
				requests.Add(1)
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range 5 {
		time.Sleep(100 * time.Millisecond)
		replicas = append(replicas, start())
		r := replicas[0]
		replicas = replicas[1:]
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		r.srv.SetKeepAlivesEnabled(false)
		must(t, r.ln.Drain(ctx, nil))
		must(t, r.srv.Shutdown(ctx))
		if err := <-r.done; err != http.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
		must(t, r.node.Shutdown(ctx))
		cancel()
	}
	close(stop)
	clients.Wait()
	failed.Range(func(err, _ any) bool {
		t.Errorf("a request failed: %v", err)
		return true
	})
	t.Logf("%d requests during 5 restarts", requests.Load())
	if requests.Load() < 100 {
		t.Errorf("%d requests are too few for a test", requests.Load())
	}
	for _, r := range replicas {
		must(t, r.srv.Close())
		<-r.done
	}
}

func get(c *http.Client, url string) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != 200 || string(b) != "hello") {
		err = fmt.Errorf("status %v, %q", resp.Status, b)
	}
	return err
}
