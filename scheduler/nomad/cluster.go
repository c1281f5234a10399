package nomad

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/internal/feed"
	"golang.org/x/sync/errgroup"
)

// A Cluster is the clients of a Nomad as a [scheduler.Cluster]. All methods are
// safe for concurrent use. [Cluster.Run] follows events and keeps warm agents;
// without it the other methods work, but Watch sees only what was asked for.
type Cluster struct {
	api   *api.Client
	close func() // connections that are not used
	space string // Server.Namespace
	agent Agent
	cfg   Config
	log   *slog.Logger
	books books

	signing signing

	calls  sync.WaitGroup // goroutines about the end of single placements
	look   chan struct{}  // has an element when everything is to be asked for
	asking chan struct{}  // one sync at a time

	mu     sync.Mutex
	places map[key]*place
	order  []key
	jobs   map[string]*place // by Nomad's ID of the job
	early  map[string]alloc  // by job, of jobs that nobody knows yet
	// submitting has a channel for each placement that is being submitted,
	// closed when that is done.
	submitting map[key]chan struct{}
	buried     map[string]bool  // jobs that were forgotten and are listed yet
	tried      map[key]bool     // registered without an answer
	nodes      map[string]*node // by ID
	feed       feed.Feed
	parents    map[string]bool // jobs that are there to be dispatched
	streams    bool            // events arrive
	loaded     bool            // the jobs were listed once
	born       time.Time       // when that was
	warm       map[string]*warmAgent
	keeping    keeping
}

// minSecret is how long Config.Secret is at least.
const minSecret = 20

// A key tells placements apart.
type key struct {
	task  ci.TaskID
	epoch int64
}

func keyOf(p scheduler.Placement) key { return key{p.Task.ID, p.Epoch} }

// New returns a cluster. It calls nobody until it is used. Settings that cannot
// work are [ci.ErrInvalid].
func New(s Server, a Agent, cfg Config) (*Cluster, error) {
	a, err := a.check()
	if err != nil {
		return nil, fmt.Errorf("nomad: %w", err)
	}
	cfg = cfg.withDefaults()
	client, closeIdle, err := s.client(cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("nomad: %w", err)
	}
	if cfg.Identity != IdentityAuto && cfg.Identity != IdentityRequire && cfg.Identity != IdentityOff {
		return nil, fmt.Errorf("nomad: identity %q is neither %s nor %s: %w", cfg.Identity, IdentityRequire, IdentityOff, ci.ErrInvalid)
	}
	if len(cfg.Warm) > 0 && (cfg.Docs == nil || len(cfg.Secret) < minSecret) {
		return nil, fmt.Errorf("nomad: warm agents need documents and a secret of %d bytes: %w", minSecret, ci.ErrInvalid)
	}
	return &Cluster{
		api: client, close: closeIdle, space: s.Namespace, agent: a, cfg: cfg, log: cfg.Log, books: books{docs: cfg.Docs, owner: cfg.Name},
		look: make(chan struct{}, 1), asking: make(chan struct{}, 1),
		places: make(map[key]*place), jobs: make(map[string]*place), tried: make(map[key]bool),
		early: make(map[string]alloc), buried: make(map[string]bool), submitting: make(map[key]chan struct{}),
		nodes: make(map[string]*node), parents: make(map[string]bool),
		warm: make(map[string]*warmAgent), signing: signing{asking: make(chan struct{}, 1)},
	}, nil
}

// Run follows what happens at Nomad and keeps warm agents, until ctx ends. What
// runs there goes on running; warm agents go on waiting for the next server.
func (c *Cluster) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { c.follow(ctx); return nil })
	g.Go(func() error { c.block(ctx); return nil })
	g.Go(func() error { c.poll(ctx); return nil })
	if len(c.cfg.Warm) > 0 {
		g.Go(func() error { c.keep(ctx); return nil })
	}
	err := g.Wait()
	c.calls.Wait()
	c.close()
	return err
}

// known makes sure that the jobs were listed once, so that what an earlier
// server has submitted is known.
func (c *Cluster) known(ctx context.Context) error {
	c.mu.Lock()
	loaded := c.loaded
	c.mu.Unlock()
	if loaded {
		return nil
	}
	return c.sync(ctx)
}

// Stop asks the agent to end, or ends its job.
func (c *Cluster) Stop(ctx context.Context, p scheduler.Placement, grace time.Duration) error {
	if err := c.stop(ctx, p, grace); err != nil {
		return fmt.Errorf("stop task %s epoch %d: %w", p.Task.ID, p.Epoch, err)
	}
	return nil
}

func (c *Cluster) stop(ctx context.Context, p scheduler.Placement, grace time.Duration) error {
	if err := c.known(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	pl := c.places[keyOf(p)]
	if pl == nil {
		// A job that was registered without an answer may appear yet.
		tried := c.tried[keyOf(p)]
		delete(c.tried, keyOf(p))
		c.mu.Unlock()
		if tried && grace <= 0 {
			return c.deregister(ctx, scheduler.JobIDOf(p.Task, p.Epoch).String())
		}
		return nil
	}
	dead := pl.State == scheduler.PlacementDead
	c.mu.Unlock()
	switch {
	case dead && grace <= 0:
		return c.forget(ctx, pl)
	case dead:
		return nil
	case grace <= 0:
		return c.kill(ctx, pl)
	}
	return c.askToEnd(ctx, pl, grace)
}

// askToEnd sends SIGTERM once, and sees to it that the agent is killed when its
// time is over.
func (c *Cluster) askToEnd(ctx context.Context, pl *place, grace time.Duration) error {
	end := time.Now().Add(grace)
	c.mu.Lock()
	if pl.killer != nil && pl.killAt.Before(end) {
		c.mu.Unlock()
		return nil
	}
	if pl.killer != nil {
		pl.killer.Stop()
	}
	first := pl.killer == nil
	pl.killAt = end
	pl.killer = time.AfterFunc(grace, func() { c.killLater(pl) })
	alloc, running := pl.alloc, pl.State == scheduler.PlacementRunning
	c.mu.Unlock()
	switch {
	case !first:
		return nil
	case !running: // Nomad asks it, should it be about to run
		return c.end(ctx, pl)
	}
	return c.signal(ctx, alloc, "SIGTERM")
}

// killTries is how often the end of a grace is told to Nomad.
const killTries = 10

func (c *Cluster) killLater(pl *place) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for try := range killTries {
		c.mu.Lock()
		dead := pl.State == scheduler.PlacementDead
		c.mu.Unlock()
		if dead {
			return
		}
		err := c.kill(ctx, pl)
		if err == nil || ctx.Err() != nil {
			return
		}
		c.log.Warn("kill agent, will try again", "task", pl.Task.ID, "lease", pl.Epoch, "err", err)
		sleep(ctx, time.Duration(try+1)*time.Second)
	}
}

// kill ends the job of a placement. When this returns nil, Nomad has promised
// it; the agent itself is killed without the time that Nomad would give it, also
// when it is only about to begin.
func (c *Cluster) kill(ctx context.Context, pl *place) error {
	if err := c.end(ctx, pl); err != nil {
		return err
	}
	c.mu.Lock()
	pl.axed = true
	alloc := pl.alloc
	c.mu.Unlock()
	if alloc != "" {
		c.axe(ctx, pl, alloc)
	}
	feed.Signal(c.look)
	return nil
}

// end lets Nomad end a job: it sends SIGTERM, and kills after killTime.
func (c *Cluster) end(ctx context.Context, pl *place) error {
	if err := c.deregister(ctx, pl.job); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pl.killed = true
	return nil
}

// axe kills an agent at once. If that fails, Nomad does it a little later.
func (c *Cluster) axe(ctx context.Context, pl *place, alloc string) {
	if err := c.signal(ctx, alloc, "SIGKILL"); err != nil {
		c.log.Debug("kill agent at once", "task", pl.Task.ID, "lease", pl.Epoch, "err", err)
	}
}

// forget takes a dead placement off the books. Its job stays at Nomad, stopped
// and dead, until Nomad collects it: operators may want to look.
func (c *Cluster) forget(ctx context.Context, pl *place) error {
	if err := c.deregister(ctx, pl.job); err != nil {
		return err
	}
	if err := c.books.clear(ctx, pl.warm); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(pl)
	c.buried[pl.job] = true
	return nil
}

// deregister stops a job. One that is not there is no error.
func (c *Cluster) deregister(ctx context.Context, job string) error {
	_, _, err := c.api.Jobs().Deregister(job, false, c.write(ctx))
	if err = c.words(err); errors.Is(err, ci.ErrNotFound) {
		return nil
	}
	return err
}

// signal sends a signal to an agent, through the server: clients need not be
// reachable from here.
func (c *Cluster) signal(ctx context.Context, alloc, name string) error {
	in := map[string]string{"AllocID": alloc, "Task": taskName, "Signal": name}
	_, err := c.api.Raw().Write("/v1/client/allocation/"+alloc+"/signal", in, nil, c.write(ctx))
	return c.words(err)
}
