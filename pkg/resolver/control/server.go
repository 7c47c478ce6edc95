package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Directory is what a Server offers to applications. gossip.Gossip and
// resolver.Directory are such. If it is a resolver.Follower too, applications can
// watch it.
type Directory interface {
	resolver.Resolver
	resolver.Lister
	resolver.Publisher
	resolver.Feedback
}

// Server answers requests on the control socket. Serve it with HTTP.
type Server struct {
	// Directory and Cluster are required.
	Directory Directory
	Cluster   *identity.Cluster

	// Status returns what GET /v1/status answers, to be encoded as JSON; nil
	// means an empty object.
	Status func(context.Context) any

	// Certify answers a request for a membership certificate; what both hold is
	// between it and the application. Nil refuses.
	Certify func(ctx context.Context, request []byte) ([]byte, error)

	// Reload makes the daemon read its configuration again, and returns what has
	// changed, to be encoded as JSON; its error is what is wrong with it. Nil refuses.
	Reload func(context.Context) (any, error)

	// Logger notes registrations; nil discards them.
	Logger *slog.Logger

	watchers  atomic.Int32
	attending atomic.Int32

	named sync.Once
	name  string // see id

	mu     sync.Mutex
	leases map[string]lease
}

// lease is a registration that an application renews.
type lease struct {
	withdrawal []byte
	expires    time.Time
}

// maxLeases is the most registrations of one host.
const maxLeases = 4096

// HTTP returns a server for the requests, to be used with a listener from
// Listen, and ended with its Shutdown or Close.
func (s *Server) HTTP() *http.Server {
	ending, end := context.WithCancel(context.Background())
	srv := &http.Server{
		Handler:           s.handler(ending),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.logger().Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(end)
	return srv
}

// Handler returns the handler of the requests.
func (s *Server) Handler() http.Handler { return s.handler(context.Background()) }

func (s *Server) handler(ending context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", answer(s.status))
	mux.HandleFunc("GET /v1/services", answer(s.services))
	mux.HandleFunc("GET /v1/resolve", patiently(answer(s.resolve)))
	mux.HandleFunc("GET /v1/watch", s.watch(ending))
	mux.HandleFunc("GET /v1/alive", s.alive(ending))
	mux.HandleFunc("POST /v1/register", answer(s.register))
	mux.HandleFunc("DELETE /v1/register/{id}", answer(s.withdraw))
	mux.HandleFunc("POST /v1/feedback", answer(s.feedback))
	mux.HandleFunc("POST /v1/certificate", answer(s.certificate))
	mux.HandleFunc("POST /v1/reload", patiently(answer(s.reload)))
	mux.HandleFunc("/", answer(func(r *http.Request) (any, error) {
		return nil, status(http.StatusNotFound, fmt.Errorf("there is no %s %s; see the documentation of package control", r.Method, r.URL.Path))
	}))
	return mux
}

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// answer turns a method into a handler: what it returns is sent as JSON.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		body, err := f(r)
		code := http.StatusOK
		if err != nil {
			var said *statusError
			code = http.StatusInternalServerError
			if errors.As(err, &said) {
				code = said.status
			}
			fail := failure{Error: err.Error()}
			switch {
			case errors.Is(err, resolver.ErrNoService):
				code, fail.Code = http.StatusNotFound, codeNoService
				delayed := new(resolver.DelayedError)
				fail.Delayed = errors.As(err, &delayed)
			case errors.Is(err, resolver.ErrRefused):
				code, fail.Code = http.StatusForbidden, codeRefused
			}
			body = fail
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(body) // a client that has gone misses it
	}
}

// patiently lets a request take as long as its client waits.
func patiently(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		c.SetReadDeadline(time.Time{}) // which would end the request's context, too
		c.SetWriteDeadline(time.Time{})
		h(w, r)
	}
}

// statusError is an error that has an HTTP status.
type statusError struct {
	status int
	error
}

func (e *statusError) Unwrap() error { return e.error }

func status(code int, err error) error { return &statusError{code, err} }

func bad(err error) error { return status(http.StatusBadRequest, err) }

// read decodes the body of a request.
func read(r *http.Request, v any) error {
	b, err := io.ReadAll(r.Body)
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		return status(http.StatusRequestEntityTooLarge, fmt.Errorf("the request is longer than %d bytes", maxBody))
	}
	if err != nil {
		return bad(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return bad(fmt.Errorf("the request is not the JSON it should be: %w", err))
	}
	return nil
}

func (s *Server) status(r *http.Request) (any, error) {
	if s.Status == nil {
		return struct{}{}, nil
	}
	return s.Status(r.Context()), nil
}

func (s *Server) reload(r *http.Request) (any, error) {
	if s.Reload == nil {
		return nil, status(http.StatusForbidden, errors.New("this daemon has no configuration to read again"))
	}
	done, err := s.Reload(r.Context())
	if err != nil {
		return nil, status(http.StatusUnprocessableEntity, err)
	}
	return done, nil
}

func (s *Server) services(r *http.Request) (any, error) {
	all, err := s.Directory.Services(r.Context())
	return services{encodeInstances(all)}, err
}

func (s *Server) resolve(r *http.Request) (any, error) {
	name, err := sal.ParseName(r.URL.Query().Get("name"))
	if err != nil {
		return nil, bad(fmt.Errorf("%w; ask with ?name=svc:web", err))
	}
	ctx := r.Context()
	if r.URL.Query().Get("hooks") == "off" {
		ctx = resolver.WithoutHooks(ctx)
	}
	found, err := s.Directory.Resolve(ctx, name)
	return services{encodeInstances(found)}, err
}

func (s *Server) feedback(r *http.Request) (any, error) {
	var f feedback
	if err := read(r, &f); err != nil {
		return nil, err
	}
	in, err := f.Instance.decode()
	if err != nil {
		return nil, bad(err)
	}
	s.Directory.Report(in, f.OK)
	return struct{}{}, nil
}

func (s *Server) certificate(r *http.Request) (any, error) {
	var c certificate
	if err := read(r, &c); err != nil {
		return nil, err
	}
	if s.Certify == nil {
		return nil, status(http.StatusForbidden, errors.New("this daemon admits no nodes; start it with a join token, or give the application its own"))
	}
	made, err := s.Certify(r.Context(), c.Request)
	if err != nil {
		return nil, status(http.StatusForbidden, err)
	}
	return certificate{Certificate: made}, nil
}

func (s *Server) register(r *http.Request) (any, error) {
	var reg registration
	if err := read(r, &reg); err != nil {
		return nil, err
	}
	now := time.Now()
	record, err := resolver.ParseRecord(reg.Record, s.Cluster, now)
	if err != nil {
		return nil, bad(err)
	}
	end, err := resolver.ParseRecord(reg.Withdrawal, s.Cluster, now)
	if err != nil {
		return nil, bad(fmt.Errorf("the withdrawal: %w", err))
	}
	if record.Withdrawn || !end.Withdrawn || end.Node != record.Node || end.Service != record.Service || end.Issued.Before(record.Issued) {
		return nil, bad(errors.New("the withdrawal is not that of the record; sign both for the same service at the same time"))
	}
	id := leaseID(record)
	expires := now.Add(record.TTL)
	if err := s.keep(id, lease{reg.Withdrawal, expires}, now); err != nil {
		return nil, err
	}
	if err := s.Directory.Publish(r.Context(), reg.Record); err != nil {
		return nil, status(http.StatusServiceUnavailable, err)
	}
	s.logger().Debug("registered", "service", record.Service, "node", record.Node.Short(), "addrs", record.Addrs)
	return registered{ID: id, Daemon: s.id(), Service: record.Service, Node: record.Node.String(), Expires: expires}, nil
}

// leaseID names a registration: one service of one node.
func leaseID(r *resolver.Record) string {
	sum := sha256.Sum256(append(r.Node[:], r.Service.String()...))
	return hex.EncodeToString(sum[:16])
}

func (s *Server) keep(id string, l lease, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, renewed := s.leases[id]; !renewed && len(s.leases) >= maxLeases {
		for id, l := range s.leases {
			if !now.Before(l.expires) {
				delete(s.leases, id)
			}
		}
		if len(s.leases) >= maxLeases {
			return status(http.StatusServiceUnavailable, fmt.Errorf("%d services are registered here; withdraw some", maxLeases))
		}
	}
	if s.leases == nil {
		s.leases = make(map[string]lease)
	}
	s.leases[id] = l
	return nil
}

func (s *Server) withdraw(r *http.Request) (any, error) {
	id := r.PathValue("id")
	s.mu.Lock()
	l, ok := s.leases[id]
	delete(s.leases, id)
	s.mu.Unlock()
	if !ok || !time.Now().Before(l.expires) {
		return nil, status(http.StatusNotFound, fmt.Errorf("there is no registration %.64q; it has expired or was withdrawn", id))
	}
	if err := s.Directory.Publish(r.Context(), l.withdrawal); err != nil {
		return nil, err
	}
	s.logger().Debug("withdrawn", "id", id)
	return struct{}{}, nil
}
