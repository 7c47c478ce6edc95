package nodectl

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	maxBody    = 16 << 10 // bytes of a request
	maxStreams = 64       // clients of one node that watch events or a drain
	writeWait  = 10 * time.Second
)

// server answers at the socket of one node.
type server struct {
	node    Node
	info    Info
	path    string
	http    *http.Server
	cancel  context.CancelFunc // of all requests
	streams chan struct{}      // holds one for each
	served  chan struct{}      // closed when no more connections are accepted
	ended   sync.Once
}

// Serve opens a control socket for a node in dir, such as Dir returns, and
// removes those of processes that died. What Mark has marked as drained there the
// node drains; Serve waits until it avoids it. Of info, Node and Name are needed.
// Close ends what is under way and removes the socket; it does not wait for calls
// of the node's methods to return. A caller goes on without if this fails.
func Serve(dir string, info Info, node Node) (io.Closer, error) {
	l, path, err := listen(dir)
	if err != nil {
		return nil, fmt.Errorf("nodectl: no control socket in %s, this process will not be seen by servald flows: %w", dir, err)
	}
	sweep(dir)
	info.PID, info.Started = os.Getpid(), time.Now()
	info.Program = cmp.Or(info.Program, filepath.Base(os.Args[0]))
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{node: node, info: info, path: path, cancel: cancel,
		streams: make(chan struct{}, maxStreams), served: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.handler(ctx),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // standard error is the application's
	}
	go func() {
		defer close(s.served)
		s.http.Serve(l)
	}()
	drainMarked(ctx, dir, node) // after the socket can be seen: see Mark
	return s, nil
}

// Close implements io.Closer.
func (s *server) Close() error {
	s.ended.Do(func() {
		os.Remove(s.path)
		s.cancel()
		s.http.Close()
		<-s.served
	})
	return nil
}

func (s *server) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	get := func(path string, f func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, f()) })
	}
	get("/v1/node", func() any { return s.info })
	get("/v1/conns", func() any { return connsAnswer{s.node.Conns()} })
	get("/v1/paths", func() any { return pathsAnswer{s.node.Paths()} })
	mux.HandleFunc("GET /v1/events", s.stream(ctx, s.events))
	mux.HandleFunc("POST /v1/drain", s.stream(ctx, s.drain))
	post(mux, ctx, "/v1/migrate", func(ctx context.Context, r migrateRequest) (any, error) {
		n, err := s.node.Migrate(ctx, r.Selection, r.To)
		return countAnswer{n}, err
	})
	post(mux, ctx, "/v1/policy", func(_ context.Context, r policyRequest) (any, error) {
		n, err := s.node.SetPolicy(r.Selection, r.Policy)
		return countAnswer{n}, err
	})
	post(mux, ctx, "/v1/undrain", func(_ context.Context, r drainRequest) (any, error) {
		return struct{}{}, s.node.Undrain(r.What)
	})
	s.handleRules(mux, ctx)
	s.handleServices(mux, ctx)
	s.handleWhy(mux, ctx)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, fmt.Errorf("there is no %.10s %.80s; see the documentation of package nodectl", r.Method, r.URL.Path))
	})
	return mux
}

// post handles a path whose requests are a T. A request ends with its client or
// the server's context.
func post[T interface{ check() error }](mux *http.ServeMux, base context.Context, path string, f func(context.Context, T) (any, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		req, ok := read[T](w, r)
		if !ok {
			return
		}
		ctx, cancel := both(r.Context(), base)
		defer cancel()
		answer, err := f(ctx, req)
		if err != nil {
			fail(w, http.StatusUnprocessableEntity, err)
			return
		}
		reply(w, http.StatusOK, answer)
	})
}

// both is done as soon as one of the contexts is.
func both(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// read decodes the body of a request, or refuses it.
func read[T interface{ check() error }](w http.ResponseWriter, r *http.Request) (req T, ok bool) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		fail(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the request is longer than %d bytes", maxBody))
		return req, false
	}
	if err == nil {
		req, err = decode[T](b)
		http.NewResponseController(w).SetReadDeadline(time.Time{}) // from here on the client is silent
	}
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return req, false
	}
	return req, true
}

func reply(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // a node's number that JSON has not, such as NaN
		code, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWait))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(append(b, '\n')) // a client that has gone misses it
}

func fail(w http.ResponseWriter, code int, err error) { reply(w, code, failure{err.Error()}) }
