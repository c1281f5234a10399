package pusher

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Reader reads what channels are about. A database that is a [ci.Store] and
// a [ci.Records] is one. What does not exist is [ci.ErrNotFound].
type Reader interface {
	Project(ctx context.Context, id ci.ProjectID) (ci.Project, error)
	Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error)
	Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error)
	JobWorkflow(ctx context.Context, id ci.JobID) (ci.WorkflowID, error)
	Steps(ctx context.Context, t ci.TaskID, epoch int64) ([]ci.Step, error)
	Events(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]
	LastEvent(ctx context.Context) (uint64, error)
}

// Logs is the output of steps, as package api has it.
type Logs interface {
	Size(ctx context.Context, key ci.LogKey) (int64, error)
	Read(ctx context.Context, key ci.LogKey, offset int64) (io.ReadCloser, error)
	Follow(ctx context.Context, key ci.LogKey, offset int64) iter.Seq2[[]byte, error]
}

// Config holds what a [Server] is told about its surroundings. The zero Config
// lets nobody subscribe to a private channel, and everybody to open projects.
type Config struct {
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// Key is the name of the application in addresses; "" is "rondo".
	Key string
	// Secret signs subscriptions. Servers behind one address need the same
	// one; "" is a fresh one.
	Secret string
	// Auth says who sends the token, as in package api; nil denies everybody.
	Auth func(r *http.Request, token string) (ci.Actor, error)
	// May says whether the actor may read a project, as in package api. With
	// nil whom Auth lets in may read all.
	May func(ctx context.Context, by ci.Actor, p ci.Project, write bool) error
	// Tickets end connections before Session; the zero Tickets does not.
	Tickets Tickets
	// Origins are the hosts whose pages may connect besides the server's own.
	Origins []string
	// Connections is the most that are open at the same time; 0 is 20,000.
	Connections int
	// Queue is how many messages a client may be behind; 0 is 256.
	Queue int
	// Activity is after how long a silent client is asked whether it is still
	// there; 0 is 2 minutes. It has as long again to say so, 30 s at most.
	Activity time.Duration
	// Session is after how long a connection ends and the client has to come
	// back and show its rights; 0 is an hour.
	Session time.Duration
}

// Tickets say whether a client's token or session is still good. Name returns a
// ticket for what a request shows, and Still later whose it is, as long as it
// is good: a connection ends within Every (0 is 30 seconds) after its token or
// session, or a right of theirs, has.
type Tickets struct {
	Name  func(r *http.Request, token string) string
	Still func(ctx context.Context, ticket string) (ci.Actor, error)
	Every time.Duration
}

// A Server serves WebSockets at GET /app/KEY and signatures at POST
// /pusher/auth. It is safe for concurrent use.
type Server struct {
	read Reader
	logs Logs
	cfg  Config
	log  *slog.Logger
	mux  *http.ServeMux

	mu     sync.Mutex
	seq    uint64        // of the newest event that was sent
	ready  chan struct{} // closed when seq is known
	closed bool          // Run has ended
	conns  map[*conn]struct{}
	topics map[string]map[*sub]struct{} // by channel
	feeds  map[ci.JobID]*feed
}

// New returns a server. It serves nothing until [Server.Run] is called.
func New(read Reader, logs Logs, cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Key == "" {
		cfg.Key = "rondo"
	}
	if cfg.Secret == "" {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails since Go 1.24
		cfg.Secret = hex.EncodeToString(b[:])
	}
	if cfg.Auth == nil {
		cfg.Auth = func(*http.Request, string) (ci.Actor, error) { return ci.Actor{}, ci.ErrDenied }
	}
	if cfg.May == nil {
		cfg.May = func(context.Context, ci.Actor, ci.Project, bool) error { return nil }
	}
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&cfg.Connections, 20_000)
	set(&cfg.Queue, 256)
	if cfg.Activity <= 0 {
		cfg.Activity = 2 * time.Minute
	}
	if cfg.Tickets.Every <= 0 {
		cfg.Tickets.Every = 30 * time.Second
	}
	if cfg.Session <= 0 {
		cfg.Session = time.Hour
	}
	s := &Server{
		read: read, logs: logs, cfg: cfg, log: cfg.Log, mux: http.NewServeMux(), ready: make(chan struct{}),
		conns: map[*conn]struct{}{}, topics: map[string]map[*sub]struct{}{}, feeds: map[ci.JobID]*feed{},
	}
	s.mux.HandleFunc("GET /app/{key}", s.connect)
	s.mux.HandleFunc("POST /pusher/auth", s.authorize)
	return s
}

// ServeHTTP serves both addresses.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Run sends the events that follow yields, see ci.Server, until ctx ends; then
// it closes all connections and returns nil. It is called once.
func (s *Server) Run(ctx context.Context, follow func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]) error {
	var aside sync.WaitGroup
	aside.Go(func() { s.watchRights(ctx) })
	defer aside.Wait()
	defer s.close()
	started := false
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		var err error
		if !started {
			var last uint64
			if last, err = s.read.LastEvent(ctx); err == nil {
				s.mu.Lock()
				s.seq, started = last, true
				s.mu.Unlock()
				close(s.ready)
			}
		}
		if started {
			for e, failure := range follow(ctx, s.last()) {
				if err = failure; err != nil {
					break
				}
				wait = 100 * time.Millisecond
				s.tell(ctx, e)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("follow events, will try again", "wait", wait, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// last returns the number of the newest event that was sent.
func (s *Server) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// close ends all connections; the clients come back, to whoever serves then.
func (s *Server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		c.end(codeAgain, "the server is stopping")
	}
}

// tell sends an event to all that it is for.
func (s *Server) tell(ctx context.Context, e ci.Event) {
	var data []byte // encoded when somebody wants it, and once
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq = e.Seq
	for _, name := range channelsOf(e) {
		for _, channel := range []string{name, private + name} {
			topic := s.topics[channel]
			if len(topic) == 0 {
				continue
			}
			if data == nil {
				data = encode(e)
			}
			m := message(string(e.Kind), channel, data)
			for to := range topic {
				if e.Seq > to.after {
					to.conn.offer(m)
				}
			}
		}
	}
	if f := s.feeds[e.Job]; f != nil && e.Kind == ci.StepStarted && e.Step != nil {
		f.begin(ctx, e.Node, e.Step.Index)
	}
}
