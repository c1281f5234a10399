package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/ci/api/graphql"
	"github.com/rondo-ci/rondo/ci/api/runner"
	"github.com/rondo-ci/rondo/ci/operator"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/cmd/internal/relay"
	"github.com/rondo-ci/rondo/cmd/internal/worker"
	"github.com/rondo-ci/rondo/cmd/internal/workshop"
	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/s3"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"golang.org/x/sync/errgroup"
)

// stopTime is how long running jobs get to end when the server stops.
const stopTime = 20 * time.Second

// An installation is all the rooms of Rondo in one process, over one data
// folder. What code it builds, and who may ask for it, is said by the command
// that makes it.
type installation struct {
	log    *slog.Logger
	recent recentLog // the end of it
	folder *datadir.Folder
	// local is the folder of what belongs to this machine: its agents, and
	// their door. It is folder, unless several servers share that.
	local *datadir.Folder
	// duty is nil where this is the only server.
	duty   *duty
	resign func() // ends this server's term; nil where it has none
	// database is the address of a Postgres, "" for SQLite in the folder.
	database string
	several  bool // other servers may use the database too
	code     code
	page     net.Listener
	url      string // of the page, without a slash at the end
	access   access
	// auth says how people log in, nil that the token is the one key.
	auth       *authSettings
	githubHost string
	ldap       *ldapSettings   // nil for none
	directory  *ldap.Directory // of these settings
	people     *people
	// sealing says what protects stored secrets, webhookNets which private
	// networks webhooks may reach.
	sealing     secretsSettings
	webhookNets []netip.Prefix
	storing     storageSettings  // where files are
	store       *s3.Store        // the bucket of that; nil is a folder
	auditing    auditSettings    // where the book of who did what goes
	metering    *metricsSettings // where figures go; nil counts nothing
	figures     *figures
	reach       *reach              // how clients reach the world
	shown       *certificate.Keeper // the certificate of the server; nil for none
	tls         *tlsSettings
	strict      bool              // browsers are to come by TLS only
	machining   *machinesSettings // where machines come from; nil for none
	garage      *garage           // nil in a server without machines
	mender      *mender
	rate        api.RateConfig
	lease       time.Duration  // how long agents may be silent; 0 is the scheduler's
	orgLimit    int            // tasks of one organisation at once; 0 is no limit
	jobs        worker.Docker  // the engine of jobs that name images
	nomad       *nomadSettings // where agents are started; nil is this machine
	places      *worker.Worker
	outputKey   []byte        // signs addresses of output
	pushKey     string        // signs subscriptions to live events
	compiling   chan struct{} // has a place for each that may run at once
	// doors are handlers that only some servers have, by pattern.
	doors map[string]http.Handler
	// doorsOpen are further listeners for agents.
	doorsOpen []net.Listener
	// parts run beside the rooms, until all is to end.
	parts []func(context.Context) error

	db     *sqldb.DB
	logs   *storage.Logs
	agents net.Listener
	key    door.Key
	engine *engine.Engine
	desk   *operator.Desk
	began  time.Time
	compiler
	chapters
}

// open opens everything that can fail, before anything runs. log, folder,
// page and code are set before; close is called after, also when open fails.
func (in *installation) open(ctx context.Context) error {
	key, err := in.folder.Secret("agent.key", "")
	if err != nil {
		return err
	}
	in.key = door.Key(key)
	output, err := in.folder.Secret("output.key", "")
	if err != nil {
		return err
	}
	in.outputKey = []byte(output)
	if in.pushKey, err = in.folder.Secret("push.key", ""); err != nil {
		return err
	}
	if err := in.openLocal(ctx); err != nil {
		return err
	}
	bucket, err := in.openFiles(ctx)
	if err != nil {
		return err
	}
	direct, err := in.openDirect(ctx)
	if err != nil {
		return err
	}
	if in.logs, err = storage.OpenLogs(in.folder.Join(in.duty.logs()), storage.LogsConfig{Bucket: bucket, Log: in.log}); err != nil {
		return err
	}
	if err := workshop.CleanDirs(in.local.Join("work")); err != nil {
		in.log.Warn("files of earlier jobs are left", "err", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	in.compiler.code, in.compiling = in.code, make(chan struct{}, compileLimit)
	if err := in.openAudit(bucket); err != nil {
		return err
	}
	if err := in.openChapters(ctx); err != nil {
		return err
	}
	in.mender = &mender{log: in.log}
	in.parts = append(in.parts, in.mender.run)
	if err := in.openMachines(ctx); err != nil {
		return err
	}
	if err := in.openPlaces(ctx, self); err != nil {
		return err
	}
	nodes, err := in.openNodes(self)
	if err != nil {
		return err
	}
	in.engine = engine.New(engine.Parts{
		DB: in.db, Backlog: in.db.Backlog(), Logs: in.logs,
		Files:    storage.NewFiles(bucket, storage.FilesConfig{Log: in.log, Direct: direct}),
		Compiler: ci.CompilerFunc(in.compile), Key: in.key, Cluster: nodes,
	}, engine.Config{
		Log:      in.log,
		Server:   ci.Config{JobURL: in.jobURL, Secrets: in.reach.forJobs(in.safe.Resolve), Roots: in.reach.trusted, Allow: in.safe.Allowed},
		Queue:    scheduler.Config{TTL: in.lease, Renew: in.lease / 33, OrgLimit: in.orgLimit},
		Machines: in.machinesForDoor(),
	})
	in.openDesk()
	if in.metering != nil {
		if err := in.openMetrics(ctx, *in.metering); err != nil {
			return err
		}
	}
	in.startChapters()
	return in.startAudit()
}

// openLocal opens what a server needs before it knows whether it conducts: the
// door of this machine's agents and the database.
func (in *installation) openLocal(ctx context.Context) error {
	if in.local == nil {
		in.local = in.folder
	}
	if in.agents == nil {
		socket, err := in.local.Socket("agents.sock")
		if err != nil {
			return err
		}
		if in.agents, err = listenUnix(socket); err != nil {
			return err
		}
	}
	if in.db != nil {
		return nil
	}
	var err error
	in.db, err = sqldb.Open(ctx, cmp.Or(in.database, in.folder.Join(databaseFile)), sqldb.Config{Log: in.log, Roots: in.reach.roots.Pool})
	if err == nil && in.database != "" && !in.several {
		err = in.alone(ctx)
	}
	return err
}

// answer serves what comes to a listener: by itself, or where there are
// several servers by way of the relay, whose lines are open already.
func (in *installation) answer(ctx context.Context, l net.Listener, line string, h http.Handler) error {
	if in.duty != nil {
		return in.duty.answer(ctx, line, h)
	}
	return serve(ctx, l, h)
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

// sweep kills what a dead agent has left behind, removes its files and closes
// its log, so that whoever watches it learns that there is no more.
func (in *installation) sweep(task ci.TaskID, epoch int64) {
	mark := host.Mark(task, epoch)
	host.Sweep(func(m string) bool { return m == mark })
	err := errors.Join(in.logs.End(context.Background(), task, epoch), in.places.Ready(context.Background()), workshop.CleanDirs(in.local.Join("work")))
	if err != nil {
		in.log.Error("clean up after dead agent", "task", task, "lease", epoch, "err", err)
	}
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

func (in *installation) jobURL(p ci.Project, number int64) string {
	return in.url + web.JobPath(p, number)
}

// handler serves the pages and the API.
func (in *installation) handler() http.Handler {
	mux := http.NewServeMux()
	if in.people != nil {
		in.people.mount(mux)
	} else {
		mux.HandleFunc("GET /login", in.access.login)
		mux.HandleFunc("POST /login", in.access.login)
	}
	rest := api.New(in.engine.Server, in.db, in.logs, in.engine.Files, api.Config{
		Log: in.log, URL: in.url, Auth: in.whoAPI, May: in.may, Trigger: in.trigger, JobURL: in.jobURL, Chapters: in.apiChapters(),
		Pages:     api.Pages{Project: web.ProjectPath, Pipeline: web.PipelinePath, Workflow: web.WorkflowPath, Account: web.AccountPath},
		OutputKey: in.outputKey, Rate: in.rate,
	})
	rest.Mount(mux)
	mux.Handle("/graphql-unstable", rest.Limit(graphql.New(in.compiler.registry, graphql.Config{
		Log: in.log, Auth: in.whoAPI, Orgs: in.orgs, MayOrg: in.mayOrg, Compile: in.compileFor, CompileOrb: in.compileOrb,
		Admin: in.admin, Contexts: in.safe, Variables: in.safe,
	})))
	mux.Handle("GET /app/", rest.Limit(in.live))
	mux.Handle("POST /pusher/auth", rest.Limit(in.live))
	mux.Handle("/api/v3/", rest.Limit(runner.New(in.db, in.compiler.registry, runner.Config{Log: in.log, Auth: in.whoAPI, Orgs: in.orgs, MayOrg: in.mayOrg})))
	mux.Handle("GET "+logPath, rest.Limit(http.HandlerFunc(in.logPage)))
	mux.Handle("GET /api/v2/rondo/fsck", rest.Limit(http.HandlerFunc(in.fsckPage)))
	if in.figures != nil {
		mux.HandleFunc("GET /metrics", in.metricsPage)
	}
	for pattern, h := range in.doors {
		mux.Handle(pattern, h)
	}
	if in.people != nil {
		mux.Handle("/", in.people.door.Guard(in.pages()))
	} else {
		mux.Handle("/", in.access.guard(in.pages()))
	}
	if in.strict {
		return in.known(in.counted(strict(mux)))
	}
	return in.known(in.counted(mux))
}

// whoAPI says who sends a token: the owner, by the token of the installation
// or one of their own; or a person whom the gate knows.
func (in *installation) whoAPI(r *http.Request, token string) (ci.Actor, error) {
	if in.people != nil {
		return in.people.gate.API(r, token)
	}
	if token == "" && r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/status-badge/") && r.Header.Get("Sec-Fetch-Site") == "same-origin" {
		return in.access.page(r) // a badge on one of our own pages
	}
	by, err := in.access.api(r, token)
	if !errors.Is(err, ci.ErrDenied) {
		return by, err
	}
	one, err := in.tokens.PersonalToken(r.Context(), token)
	if errors.Is(err, ci.ErrNotFound) {
		return ci.Actor{}, ci.ErrDenied
	}
	return one.Owner, err
}

// whoPage says who opens a page.
func (in *installation) whoPage(r *http.Request) (ci.Actor, error) {
	if in.people != nil {
		return in.people.gate.Page(r)
	}
	return in.access.page(r)
}

// retrigger runs a pipeline for the newest commit of a branch.
func (in *installation) retrigger(ctx context.Context, p ci.Project, branch string, by ci.Actor) (ci.Pipeline, error) {
	return in.trigger(ctx, ci.Trigger{Project: p.ID, Branch: branch, Source: ci.SourceAPI, Actor: by})
}

// trigger completes a trigger that names a branch or tag and starts it.
func (in *installation) trigger(ctx context.Context, t ci.Trigger) (ci.Pipeline, error) {
	project, err := in.db.Project(ctx, t.Project)
	if err != nil {
		return ci.Pipeline{}, err
	}
	full, err := in.code.Complete(ctx, project, t)
	if err != nil {
		return ci.Pipeline{}, err
	}
	full.Project, full.Key, full.Source, full.Actor = project.ID, t.Key, t.Source, t.Actor
	full.Parameters, full.Text = t.Parameters, t.Text
	full.Schedule, full.Scheduled, full.Planned = t.Schedule, t.Scheduled, t.Planned
	if err := in.checkParameters(ctx, project, full); err != nil {
		return ci.Pipeline{}, err
	}
	return in.engine.Server.Trigger(ctx, full)
}

// run runs all rooms and parts, and watch, which brings new work. When ctx
// ends, watch is ended and the jobs that run are stopped in order, and then
// the rest.
func (in *installation) run(ctx context.Context, watch func(context.Context) error, stopping func()) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	leave, err := in.leaveAddress()
	if err != nil {
		return err
	}
	defer leave()
	g, work := errgroup.WithContext(work)
	g.Go(func() error { return in.engine.Run(work) })
	g.Go(func() error { return in.db.Watch(work) })
	g.Go(func() error {
		return in.answer(work, in.agents, relay.Agents, in.doorHandler())
	})
	g.Go(func() error { return in.answer(work, in.page, relay.Pages, in.handler()) })
	for _, part := range in.parts {
		g.Go(func() error { return part(work) })
	}
	g.Go(func() error {
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(work, cancel)()
		return watch(watching)
	})
	g.Go(func() error {
		select {
		case <-work.Done(): // a part has failed
			return nil
		case <-ctx.Done():
		}
		endAtNextSignal()
		stopping()
		orderly, cancel := context.WithTimeout(work, stopTime)
		defer cancel()
		var err error
		if in.nomad == nil { // agents of other machines wait for the next server
			err = in.engine.Scheduler.Interrupt(orderly, "the server was stopped")
		}
		stop()
		return err
	})
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
func (in *installation) close() {
	for _, l := range []net.Listener{in.page, in.agents} {
		if l != nil {
			_ = l.Close()
		}
	}
	if in.logs != nil {
		_ = in.logs.Close()
	}
	if in.db != nil {
		if in.resign != nil {
			in.resign()
		}
		if err := in.db.Close(); err != nil {
			in.log.Error("close database", "err", err)
		}
	}
}
