// Package engine is the rooms of Rondo put together: store, server, scheduler,
// a cluster of its driver's choice, agent's door, logs and files. The server and the
// offline run are both this engine, so a workflow does the same in both.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/storage"
	"golang.org/x/sync/errgroup"
)

// A DB is a database of records.
type DB interface {
	ci.Store
	ci.Records
}

// A Cluster is a driver of nodes, which runs until its context ends.
type Cluster interface {
	scheduler.Cluster
	Run(ctx context.Context) error
}

// An admitter is a Cluster that knows its agents, see [door.Config].
type admitter interface {
	Admit(ctx context.Context, task ci.TaskID, epoch int64, identity string) error
}

// Parts are what an engine is made of. All are needed.
type Parts struct {
	DB       DB
	Backlog  scheduler.Backlog
	Logs     *storage.Logs
	Files    *storage.Files
	Compiler ci.Compiler
	// Cluster is where agents are started.
	Cluster Cluster
	// Key signs the tokens of agents.
	Key door.Key
}

// Config holds what an engine can do without.
type Config struct {
	Log    *slog.Logger
	Server ci.Config
	Queue  scheduler.Config
	// Machines gives tasks machines; nil has none.
	Machines door.Machines
}

// An Engine is the rooms, connected. It does nothing until Run.
type Engine struct {
	Parts
	Server    *ci.Server
	Scheduler *scheduler.Scheduler
	Door      *door.Door
}

// New connects the rooms.
func New(p Parts, cfg Config) *Engine {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Server.Log, cfg.Queue.Log = cfg.Log, cfg.Log
	e := &Engine{Parts: p}
	e.Server = ci.New(p.DB, p.Compiler, cfg.Server)
	cfg.Queue.Token = p.Key.Ticket
	cfg.Queue.Begun = e.begun
	e.Scheduler = scheduler.New(p.Backlog, e.Cluster, e.Server.Report, cfg.Queue)
	hall := door.Config{Log: cfg.Log, Machines: cfg.Machines, Direct: p.Files}
	if c, ok := p.Cluster.(admitter); ok {
		hall.Admit = c.Admit
	}
	e.Door = door.New(e.Scheduler, e.Server, p.DB, p.Logs, p.Files, hall)
	return e
}

// begun reports whether a step of the user's was ever about to start.
func (e *Engine) begun(ctx context.Context, task ci.TaskID, epoch int64) (bool, error) {
	steps, err := e.DB.Steps(ctx, task, epoch)
	if errors.Is(err, ci.ErrNotFound) {
		return false, nil
	}
	for _, s := range steps {
		if s.Kind != ci.StepEnvironment {
			return true, nil
		}
	}
	return false, err
}

// Run runs all parts until ctx ends or one of them fails.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.Server.Run(ctx) })
	g.Go(func() error { return e.Cluster.Run(ctx) })
	g.Go(func() error { return e.Scheduler.Run(ctx, e.Server.Follow) })
	g.Go(func() error { return e.Logs.Run(ctx) })
	return g.Wait()
}

// Idle returns when no task waits or runs any more, or with the error of ctx.
func (e *Engine) Idle(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if n := e.Scheduler.Snapshot(); n.Usage+n.Run+n.Placed+n.Running+n.Ending == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
