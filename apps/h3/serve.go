package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// instanceHeader names the instance that answered.
const instanceHeader = "X-Serval-Instance"

// grace is how long downloads may go on after a signal to stop.
const grace = 10 * time.Second

// serve serves the files below dir, and nothing that links lead to outside of it,
// until ctx is done. It closes pc.
func serve(ctx context.Context, pc net.PacketConn, dir string) error {
	defer pc.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	tls, err := serverTLS()
	if err != nil {
		return err
	}
	files := http.FileServerFS(root.FS())
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(instanceHeader, pc.LocalAddr().String())
		files.ServeHTTP(w, r)
	})
	srv := &http3.Server{Handler: named, TLSConfig: tls, QUICConfig: quicConfig(),
		Logger: slog.New(slog.DiscardHandler)} // else it complains that a name has no port
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Serve(pc) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err = srv.Shutdown(shutdown)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	<-stopped
	return err
}
