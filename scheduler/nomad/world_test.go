package nomad_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// A world is a fake Nomad, a cluster upon it, and what its agents have done.
type world struct {
	*nomad.Cluster
	server *nomadtest.Server

	mu     sync.Mutex
	placed map[ci.TaskID]scheduler.Placement
	began  map[string]int // by task and epoch
	losing bool
	asking int // warm agents that wait at the door
	// identity is what the last real agent has shown.
	identity string

	door          string
	arrived, done chan ci.TaskID // real agents that ask what to do, and have done it
}

// Submit remembers what the agent, which has a pointer only, will ask for.
func (w *world) Submit(ctx context.Context, p scheduler.Placement) error {
	w.mu.Lock()
	w.placed[p.Task.ID] = p
	w.mu.Unlock()
	return w.Cluster.Submit(ctx, p)
}

// agent is what runs in an allocation.
func (w *world) agent(ctx context.Context, s nomadtest.Start) error {
	text := s.Env[pointer.Env]
	if len(s.Payload) > 0 {
		text = string(s.Payload)
	}
	p, err := pointer.Parse([]byte(text))
	if err != nil {
		return err
	}
	p.Identity = s.Env[pointer.EnvIdentity]
	hc := nomadtest.Direct(http.HandlerFunc(w.serve))
	hc.Transport = p.Over(hc.Transport)
	if p, err = p.Await(ctx, hc); err != nil {
		return nil // sent away
	}
	fmt.Fprintf(s.Stderr, "agent has %s epoch %d\n", p.Task, p.Epoch)
	w.mu.Lock()
	full := w.placed[p.Task]
	w.began[fmt.Sprintf("%s.%d", p.Task, p.Epoch)]++
	w.mu.Unlock()
	return schedulertest.Agent(ctx, full)
}

// KillNode lets a node go down.
func (w *world) KillNode(name string) { w.server.SetNode(name, "down") }

func (w *world) runs(p scheduler.Placement) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.began[fmt.Sprintf("%s.%d", p.Task.ID, p.Epoch)]
}

// newWorld makes a fake with one node of 8 CPUs. dial says how it is reached.
func newWorld(t testing.TB, cfg nomad.Config, dial func(w *world) nomad.Server) *world {
	t.Helper()
	w := &world{placed: map[ci.TaskID]scheduler.Placement{}, began: map[string]int{}}
	w.server = nomadtest.New(w.agent)
	w.server.AddNode("n1", 10, 4096+16384, nil)
	if os.Getenv("RONDO_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	w.open(t, cfg, dial(w))
	return w
}

// open makes a new cluster, as a new server does.
func (w *world) open(t testing.TB, cfg nomad.Config, s nomad.Server) {
	c, err := nomad.New(s, nomad.Agent{Command: "/usr/bin/rondo-agent", Door: "http://door.invalid"}, cfg)
	require.NoError(t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Cluster = c
}

// serve is the door of warm agents.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	c := w.Cluster
	w.asking++
	w.mu.Unlock()
	c.ServeHTTP(rw, r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking--
	if w.losing {
		panic(http.ErrAbortHandler)
	}
}

// lose lets the door's answers to warm agents get lost.
func (w *world) lose(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losing = on
}

// start runs the cluster until the test ends.
func (w *world) start(t testing.TB) *world {
	stop := w.run(t)
	t.Cleanup(func() {
		w.server.Close()
		stop()
	})
	return w
}

// run runs the cluster until stop is called.
func (w *world) run(t testing.TB) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	c := w.Cluster
	go func() { done <- c.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// direct reaches the fake without a network.
func direct(w *world) nomad.Server {
	return nomad.Server{Address: "http://nomad.invalid:4646", HTTP: w.server.Client()}
}

func overHTTP(t testing.TB) func(w *world) nomad.Server {
	return func(w *world) nomad.Server {
		h := httptest.NewServer(w.server)
		t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
		return nomad.Server{Address: h.URL}
	}
}

// placement is one of a task that does what its name says.
func placement(name string) scheduler.Placement {
	return scheduler.Placement{
		Task: ci.Task{Job: ci.JobID(ci.NewID()), Name: name, Org: "ac-me", Repo: "sh-op", Number: 7, Total: 1}.Slice(0), Epoch: 1,
		Resources: scheduler.Resources{CPU: 1, MemoryMB: 256}, Node: "n1", Token: "s3cret-token",
	}
}

// sees waits until the placement is shown like that.
func sees(t testing.TB, c scheduler.Cluster, p scheduler.Placement, like func(scheduler.Placement) bool) scheduler.Placement {
	t.Helper()
	for got, err := range c.Watch(t.Context()) {
		require.NoError(t, err)
		if got.Task.ID == p.Task.ID && got.Epoch == p.Epoch && like(got) {
			return got
		}
	}
	t.Fatal("watch ended")
	return p
}

func is(state scheduler.PlacementState) func(scheduler.Placement) bool {
	return func(p scheduler.Placement) bool { return p.State == state }
}

func says(text string) func(scheduler.Placement) bool {
	return func(p scheduler.Placement) bool { return strings.Contains(p.Reason, text) }
}
