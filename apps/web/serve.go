package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/serval-net/serval/pkg/serval"
)

// instanceHeader names the instance that answered.
const instanceHeader = "X-Serval-Instance"

// grace is how long downloads may go on after a signal to stop.
const grace = 10 * time.Second

// serve serves the files below dir, and nothing that links lead to outside of it,
// until ctx is done.
func serve(ctx context.Context, ln net.Listener, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	files := http.FileServerFS(root.FS())
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(instanceHeader, ln.Addr().String())
		files.ServeHTTP(w, r)
	})
	srv := &http.Server{Handler: named, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Serve(ln) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if l, ok := ln.(*serval.Listener); ok {
		// Shutdown drops the requests that it reads. So first let nobody come
		// any more, and those leave who are there.
		srv.SetKeepAlivesEnabled(false)
		l.Drain(shutdown, nil)
	}
	err = srv.Shutdown(shutdown)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	<-stopped
	return err
}
