package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/ci/forge/local"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	cluster "github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"golang.org/x/sync/errgroup"
)

// stopTime is how long running jobs get to end when the server stops.
const stopTime = 20 * time.Second

// devServer is a whole server for one repository on this machine.
type devServer struct {
	repo    *local.Repo
	project ci.Project
	folder  *datadir.Folder
	db      *sqldb.DB
	logs    *storage.Logs
	page    net.Listener
	agents  net.Listener
	key     door.Key
	access  access
	engine  *engine.Engine
	orbs    string // folder of orbs, "" for none
	cache   config.Cache
	log     *slog.Logger
	head    ci.Trigger        // at the start
	refs    map[string]string // at the start
}

// dev runs the server until ctx ends.
func dev(ctx context.Context, f devFlags) error {
	keepPrivate()
	if info, err := os.Stat(f.orbs); f.orbs != "" && (err != nil || !info.IsDir()) {
		return usageError{fmt.Errorf("--orbs %s: no such folder", f.orbs)}
	}
	repo, err := openRepo(ctx, f)
	if err != nil {
		return err
	}
	path := f.data
	if path == "" {
		if path, err = datadir.Default(repo.Dir()); err != nil {
			return err
		}
	}
	folder, err := datadir.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	s := &devServer{repo: repo, project: repo.Project(), folder: folder, orbs: f.orbs}
	s.project.AutoCancel = f.autoCancel
	s.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	defer s.close()
	if err := s.open(ctx, f); err != nil {
		return err
	}
	return s.run(ctx, newConsole(os.Stdout, f.json, s))
}

// open opens everything that can fail, before anything runs.
func (s *devServer) open(ctx context.Context, f devFlags) (err error) {
	token, err := s.folder.Secret("token", "rondo_")
	if err != nil {
		return err
	}
	key, err := s.folder.Secret("agent.key", "")
	if err != nil {
		return err
	}
	if s.page, err = listen(f.listen); err != nil {
		return err
	}
	s.access = newAccess(token, s.page.Addr())
	socket, err := s.folder.Socket("agents.sock")
	if err != nil {
		return err
	}
	if s.agents, err = listenUnix(socket); err != nil {
		return err
	}
	if s.db, err = sqldb.Open(ctx, s.folder.Join("rondo.db"), sqldb.Config{Log: s.log}); err != nil {
		return err
	}
	if err := s.register(ctx); err != nil {
		return err
	}
	if err := s.look(ctx); err != nil {
		return err
	}
	bucket, err := storage.OpenDir(s.folder.Join("files"))
	if err != nil {
		return err
	}
	if s.logs, err = storage.OpenLogs(s.folder.Join("logs"), storage.LogsConfig{Bucket: bucket, Log: s.log}); err != nil {
		return err
	}
	if err := cleanWorkDirs(s.folder.Join("work")); err != nil {
		s.log.Warn("files of earlier jobs are left", "err", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.key = door.Key(key)
	s.engine = engine.New(engine.Parts{
		DB: s.db, Backlog: s.db.Backlog(), Logs: s.logs,
		Files:    storage.NewFiles(bucket, storage.FilesConfig{Log: s.log}),
		Compiler: ci.CompilerFunc(s.compile), Key: s.key,
		Start: cluster.Exec([]string{self, "agent", "--door", "unix:" + s.agents.Addr().String(), "--dir", s.folder.Join("work")}, agentEnvironment()),
	}, engine.Config{
		Log:     s.log,
		Server:  ci.Config{JobURL: s.jobURL},
		Cluster: cluster.Config{Dir: s.folder.Join("agents"), Sweep: s.sweep},
	})
	return nil
}

// listenUnix opens a socket for agents that only this user may use. What an
// earlier server left in its place is removed; the lock of the data folder
// says that none is running.
func listenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen for agents: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for agents: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("listen for agents: %w", err)
	}
	return l, nil
}

// register writes the project, under the identity that its slug has already.
func (s *devServer) register(ctx context.Context) error {
	known, err := s.db.ProjectBySlug(ctx, s.project.Slug)
	switch {
	case err == nil:
		s.project.ID = known.ID
	case !errors.Is(err, ci.ErrNotFound):
		return err
	}
	return s.db.PutProject(ctx, s.project)
}

// sweep kills what a dead agent has left behind, removes its files and closes
// its log, so that whoever watches it learns that there is no more.
func (s *devServer) sweep(task ci.TaskID, epoch int64) {
	mark := host.Mark(task, epoch)
	host.Sweep(func(m string) bool { return m == mark })
	err := errors.Join(s.logs.End(context.Background(), task, epoch), cleanWorkDirs(s.folder.Join("work")))
	if err != nil {
		s.log.Error("clean up after dead agent", "task", task, "lease", epoch, "err", err)
	}
}

// compile fetches the configuration of the pipeline's commit and compiles it.
func (s *devServer) compile(ctx context.Context, project ci.Project, p ci.Pipeline) (ci.Plan, error) {
	source, err := s.repo.File(ctx, p.Trigger.Revision, engine.ConfigFile)
	if errors.Is(err, ci.ErrNotFound) {
		return ci.Plan{}, fmt.Errorf("no configuration: commit %.12s has no %s: %w", p.Trigger.Revision, engine.ConfigFile, err)
	}
	if err != nil {
		return ci.Plan{}, err
	}
	options := config.Options{
		Parameters: p.Trigger.Parameters, Values: engine.Values(project, p), Schedule: p.Trigger.Schedule,
		Cache: &s.cache,
	}
	if s.orbs != "" {
		options.Orbs = orb.Folder(s.orbs) // a new list each time: orbs may be added while the server runs
	}
	return config.Compile(ctx, source, options)
}

// agentEnvironment is what agents see of this process's environment: what jobs
// need, and nothing that a job could read from its agent's. (The test binary
// needs its mark.)
func agentEnvironment() []string {
	var env []string
	for _, name := range append(host.Passed(), "HOME", "SSH_AUTH_SOCK", "RONDO_TEST_MAIN") {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// url is the address of the page, for this machine where the server listens on
// every address.
func (s *devServer) url() string {
	tcp, ok := s.page.Addr().(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	return "http://" + s.page.Addr().String()
}

func (s *devServer) jobURL(p ci.Project, number int64) string {
	return s.url() + web.JobPath(p, number)
}

// handler serves the pages and the API.
func (s *devServer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", s.access.login)
	mux.Handle("/api/v2/", api.New(s.engine.Server, s.db, s.logs, s.engine.Files, api.Config{
		Log: s.log, URL: s.url(), Auth: s.access.api, Trigger: s.trigger, JobURL: s.jobURL,
	}))
	mux.Handle("/", web.New(s.engine.Server, s.db, web.Config{
		Logs: s.logs, Artifacts: s.engine.Files, Explain: s.engine.Scheduler.Explain,
		Authorize: s.access.page, Retrigger: s.retrigger, Log: s.log, Version: version,
	}))
	return mux
}

// retrigger runs a pipeline for the newest commit of a branch.
func (s *devServer) retrigger(ctx context.Context, _ ci.Project, branch string, by ci.Actor) (ci.Pipeline, error) {
	return s.trigger(ctx, ci.Trigger{Project: s.project.ID, Branch: branch, Source: ci.SourceAPI, Actor: by})
}

// trigger completes a trigger that names a branch or tag and starts it.
func (s *devServer) trigger(ctx context.Context, t ci.Trigger) (ci.Pipeline, error) {
	ref := "refs/heads/" + t.Branch
	if t.Tag != "" {
		ref = "refs/tags/" + t.Tag
	}
	full, err := s.repo.Trigger(ctx, ref)
	if err != nil {
		return ci.Pipeline{}, err
	}
	full.Project, full.Key, full.Source, full.Actor, full.Parameters = s.project.ID, "", t.Source, t.Actor, t.Parameters
	if err := s.checkParameters(ctx, full); err != nil {
		return ci.Pipeline{}, err
	}
	return s.engine.Server.Trigger(ctx, full)
}

// checkParameters refuses parameters that the configuration does not take, so
// that who sent them learns it at once. Other mistakes are the pipeline's.
func (s *devServer) checkParameters(ctx context.Context, t ci.Trigger) error {
	if len(t.Parameters) == 0 {
		return nil
	}
	with := ci.Pipeline{ID: ci.PipelineID(ci.NewID()), Number: 1, Trigger: t}
	_, err := s.compile(ctx, s.project, with)
	if !errors.Is(err, ci.ErrInvalid) {
		return nil
	}
	without := with
	without.Trigger.Parameters = nil
	if _, e := s.compile(ctx, s.project, without); e != nil {
		return nil
	}
	return fmt.Errorf("parameters: %w", err)
}

// run runs all parts. When ctx ends, the jobs that run are stopped in order,
// and then the rest.
func (s *devServer) run(ctx context.Context, show *console) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	after, err := s.db.LastEvent(ctx)
	if err != nil {
		return err
	}
	g, work := errgroup.WithContext(work)
	g.Go(func() error { return s.engine.Run(work) })
	g.Go(func() error { return s.db.Watch(work) })
	g.Go(func() error { return serve(work, s.agents, door.Handler(s.engine.Door, s.key.Valid)) })
	g.Go(func() error { return serve(work, s.page, s.handler()) })
	g.Go(func() error { return show.follow(work, after) })
	g.Go(func() error {
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(work, cancel)()
		return s.watch(watching)
	})
	g.Go(func() error {
		select {
		case <-work.Done(): // a part has failed
			return nil
		case <-ctx.Done():
		}
		endAtNextSignal()
		show.stopping()
		orderly, cancel := context.WithTimeout(work, stopTime)
		defer cancel()
		err := s.engine.Scheduler.Interrupt(orderly, "the server was stopped")
		stop()
		return err
	})
	show.started()
	err = g.Wait()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// endAtNextSignal makes the next signal end the process at once, also where it
// was started with signals ignored, as shells start what runs in background.
func endAtNextSignal() {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-again
		os.Exit(130)
	}()
}

// close closes what open opened.
func (s *devServer) close() {
	for _, l := range []net.Listener{s.page, s.agents} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.logs != nil {
		_ = s.logs.Close()
	}
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			s.log.Error("close database", "err", err)
		}
	}
}
