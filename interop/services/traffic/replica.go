// Package traffic is the programs that the measurements of services start: the
// replicas of a web server, and who asks them.
package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/serval-net/serval/pkg/serval"
)

// InstanceHeader names the instance that answered.
const InstanceHeader = "X-Instance"

// grace is how long requests may go on after a signal to stop.
const grace = 5 * time.Second

// body is what every request gets: short, as the answers of services are.
var body = []byte(strings.Repeat("serval ", 16) + "\n")

// Replica serves HTTP at a service, such as svc:web, or at a TCP address, such as
// 127.0.0.1:8000, until it is asked to end. It prints "ready" and its name. One of
// svc:web@-90s registers as if its clock were a minute and a half behind.
func Replica(where string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := listen(where)
	if err != nil {
		return err
	}
	name := ln.Addr().String()
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(InstanceHeader, name)
			w.Write(body)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Serve(ln) }()
	fmt.Println("ready", name)
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if l, ok := ln.(*serval.Listener); ok {
		// Shutdown drops the requests that it reads. So first let nobody come
		// any more, and those leave who are there.
		srv.SetKeepAlivesEnabled(false)
		l.Drain(ending, nil)
	}
	if err := srv.Shutdown(ending); errors.Is(err, context.DeadlineExceeded) {
		srv.Close()
	}
	<-stopped
	if !isService(where) || isSkewed(where) {
		return nil
	}
	n, err := serval.Default()
	if err != nil {
		return err
	}
	return n.Close()
}

func isService(where string) bool { return strings.HasPrefix(where, "svc:") }

func isSkewed(where string) bool { return strings.Contains(where, "@") }

func listen(where string) (net.Listener, error) {
	if isSkewed(where) {
		name, off, _ := strings.Cut(where, "@")
		return listenSkewed(name, off)
	}
	if isService(where) {
		return serval.Listen(where)
	}
	return net.Listen("tcp", where)
}
