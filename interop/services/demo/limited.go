//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/serval-net/serval/interop/internal/fleet"
)

// limited is a web server of a known capacity: so many requests at a time, each of
// a fixed length, as a replica on a machine of its own would have. How many it has
// answered is at /count, which does not count.
func limited(addr string, args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slots := make(chan struct{}, workers)
	var answered atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answered.Load()) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		slots <- struct{}{}
		time.Sleep(workFor)
		<-slots
		answered.Add(1)
		io.WriteString(w, "hello\n")
	})
	srv := &http.Server{Addr: addr, Handler: mux}
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	fmt.Println("ready")
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// limited starts such a server at an address of its own.
func (r *replica) limited(ctx context.Context, self string) (err error) {
	if r.addr, err = fleet.FreePort(r.host.Addr); err != nil {
		return err
	}
	if r.program, err = r.host.Start("web server", self, "limited", r.addr); err != nil {
		return err
	}
	_, err = r.program.Expect(ctx, "ready")
	return err
}

const (
	workers = 4 // requests at a time of one replica
	workFor = 40 * time.Millisecond
)

// capacity is the requests per second that a replica answers.
const capacity = float64(workers) / (float64(workFor) / float64(time.Second))

// count asks a limited server how many requests it has answered.
func count(ctx context.Context, addr string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/count", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}
