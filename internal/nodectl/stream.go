package nodectl

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// lines is an answer of JSON objects, one a line, sent as they come.
type lines struct {
	w    http.ResponseWriter
	ctrl *http.ResponseController
}

// put sends a line; a client that does not take it has gone.
func (l lines) put(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l.ctrl.SetWriteDeadline(time.Now().Add(writeWait))
	if _, err := l.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return l.ctrl.Flush()
}

// stream makes a handler of one that answers line by line, for as long as it
// likes: until its context ends with the client or the server.
func (s *server) stream(base context.Context, f func(context.Context, context.CancelFunc, *http.Request, lines)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.streams <- struct{}{}:
			defer func() { <-s.streams }()
		default:
			fail(w, http.StatusServiceUnavailable, errors.New("too many clients watch this process; end some"))
			return
		}
		ctx, cancel := both(r.Context(), base)
		defer cancel()
		f(ctx, cancel, r, lines{w, http.NewResponseController(w)})
	}
}

func (s *server) events(ctx context.Context, _ context.CancelFunc, _ *http.Request, out lines) {
	events := s.node.Events(ctx)
	out.ctrl.SetReadDeadline(time.Time{}) // from here on the client is silent
	out.w.Header().Set("Content-Type", "application/jsonl")
	out.w.WriteHeader(http.StatusOK)
	if out.ctrl.Flush() != nil { // tells the client that nothing is missed from now on
		return
	}
	for e := range events {
		if e.Node == "" {
			e.Node = s.info.Node
		}
		if out.put(e) != nil {
			return
		}
	}
}

func (s *server) drain(ctx context.Context, cancel context.CancelFunc, r *http.Request, out lines) {
	drained(ctx, cancel, r, out, func(ctx context.Context, req drainRequest, progress func(int)) (Moved, error) {
		return Moved{}, s.node.Drain(ctx, req.What, progress)
	})
}

// drained answers with lines that say how many are left, until none is.
func drained[T interface{ check() error }](ctx context.Context, cancel context.CancelFunc, r *http.Request, out lines, f func(context.Context, T, func(left int)) (Moved, error)) {
	req, ok := read[T](out.w, r)
	if !ok {
		return
	}
	out.w.Header().Set("Content-Type", "application/jsonl")
	out.w.WriteHeader(http.StatusOK)
	last := 0
	moved, err := f(ctx, req, func(left int) {
		last = left
		if out.put(drainLine{Left: left}) != nil {
			cancel()
		}
	})
	if ctx.Err() != nil { // the client has gone, or the node goes and its flows with it
		return
	}
	if err != nil {
		out.put(drainLine{Left: last, Error: err.Error()})
		return
	}
	out.put(drainLine{Done: true, Moved: moved})
}
