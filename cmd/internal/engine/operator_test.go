package engine_test

import (
	"context"
	"io"
	"iter"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/operator"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A house is the rooms of a server without the process, some of which may be
// down. It lives in a bubble of time.
type house struct {
	*engine.Engine
	t      *testing.T
	db     *memdb.DB
	desk   *operator.Desk
	broken atomic.Bool // the database takes no tickets
	dead   atomic.Bool // the agents' door takes no steps and no output
	mouth  http.Handler
	placed chan scheduler.Placement
	job    ci.TaskID
}

// backlog is that of a house.
type backlog struct {
	scheduler.Backlog
	h *house
}

func (b backlog) Put(ctx context.Context, cursor uint64, tickets ...ci.Ticket) error {
	if b.h.broken.Load() {
		return io.ErrUnexpectedEOF
	}
	return b.Backlog.Put(ctx, cursor, tickets...)
}

// machines are no more than the desk asks for.
type machines struct{ scheduler.Cluster }

func (m machines) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (m machines) DrainNode(ctx context.Context, node string, on bool, _ time.Duration) error {
	return m.Drain(ctx, node, scheduler.Drain{On: on})
}

func (m machines) AgentOutput(ctx context.Context, t ci.Task, epoch int64, stderr bool) (io.ReadCloser, error) {
	return m.Output(ctx, scheduler.Placement{Task: t, Epoch: epoch}, stderr)
}

// inHouse runs f in a house whose parts do not run yet.
func inHouse(t *testing.T, f func(t *testing.T, h *house)) {
	dir := t.TempDir()
	bucket, err := storage.OpenDir(filepath.Join(dir, "files"))
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, db: memdb.New(), placed: make(chan scheduler.Placement, 10)}
		logs, err := storage.OpenLogs(filepath.Join(dir, "logs"), storage.LogsConfig{})
		require.NoError(t, err)
		defer logs.Close()
		over := make(chan struct{})
		defer close(over)
		cluster := machines{schedulertest.NewCluster(func(ctx context.Context, p scheduler.Placement) error {
			h.placed <- p
			select {
			case <-ctx.Done():
			case <-over:
			}
			return nil
		}, schedulertest.Node("n1", 8, 16384))}
		key := door.Key(strings.Repeat("k", 32))
		h.Engine = engine.New(engine.Parts{
			DB: h.db, Backlog: backlog{h.db.Backlog(), h}, Logs: logs, Files: storage.NewFiles(bucket, storage.FilesConfig{}), Cluster: cluster, Key: key,
			Compiler: ci.CompilerFunc(func(ctx context.Context, project ci.Project, p ci.Pipeline) (ci.Plan, error) {
				return config.Compile(ctx, []byte(trivial), config.Options{Values: engine.Values(project, p)})
			}),
		}, engine.Config{})
		all := door.Handler(h.Door, key)
		h.mouth = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if h.dead.Load() && strings.Contains(r.URL.Path, "/steps/") {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			all.ServeHTTP(w, r)
		})
		h.desk = operator.New(h.Scheduler, cluster, h.db, operator.Config{})
		require.NoError(t, h.db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "gh/acme/shop", Org: "acme", Repo: "shop", DefaultBranch: "main"}))
		f(t, h)
	})
}

// runs runs parts until the house is left.
func (h *house) runs(parts ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() { ended <- part(ctx) }()
	}
	return func() {
		cancel()
		for range parts {
			require.NoError(h.t, <-ended)
		}
	}
}

// triggers starts a pipeline and waits until its job is queued.
func (h *house) triggers() {
	_, err := h.Server.Trigger(h.t.Context(), ci.Trigger{Project: "p", Branch: "main", Revision: "4f1c2d"})
	require.NoError(h.t, err)
	for e, err := range h.Server.Follow(h.t.Context(), 0) {
		require.NoError(h.t, err)
		if e.Kind == ci.JobQueued {
			h.job = e.Job.Task(0)
			return
		}
	}
}

// says returns the code of the diagnosis, after a while.
func (h *house) says(after time.Duration) string {
	time.Sleep(after)
	x, err := h.desk.Explain(h.t.Context(), h.job, ci.Actor{})
	require.NoError(h.t, err)
	if x.Diagnosis == nil {
		return ""
	}
	require.NotEmpty(h.t, x.Diagnosis.Fix, "what to do")
	return x.Diagnosis.Code
}

// A dispatcher that is down has a diagnosis of its own; started again, it takes
// in what has happened meanwhile.
func TestTRB08_DispatcherDown(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		restart := make(chan struct{})
		follow := func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
			select {
			case <-restart:
			case <-ctx.Done():
			}
			return h.Server.Follow(ctx, after)
		}
		stop := h.runs(h.Server.Run, h.Cluster.Run, h.Logs.Run, func(ctx context.Context) error { return h.Scheduler.Run(ctx, follow) })
		defer stop()
		h.triggers()
		require.Equal(t, "", h.says(time.Second), "an event takes its time")
		require.Equal(t, operator.DispatcherDown, h.says(time.Minute))
		close(restart)
		require.Equal(t, h.job, (<-h.placed).Task.ID, "nothing is lost")
		require.Equal(t, "", h.says(time.Second))
	})
}

// A scheduler that does not run, and one that cannot write, are told apart from
// a dispatcher that is down.
func TestTRB10_SchedulerDown(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		stop := h.runs(h.Server.Run, h.Cluster.Run, h.Logs.Run)
		defer stop()
		h.triggers()
		require.Equal(t, operator.SchedulerDown, h.says(time.Minute))
		h.broken.Store(true)
		stopToo := h.runs(func(ctx context.Context) error { return h.Scheduler.Run(ctx, h.Server.Follow) })
		defer stopToo()
		require.Equal(t, operator.SchedulerDown, h.says(time.Minute))
		h.broken.Store(false)
		require.Equal(t, h.job, (<-h.placed).Task.ID, "it goes on by itself")
	})
}

// The job runs in the cluster and nothing of it is seen: that is the way of the
// output. When it is open again, all that was kept arrives, once.
func TestTRB12_OutputDoesNotArrive(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		stop := h.runs(h.Run)
		defer stop()
		h.triggers()
		p := <-h.placed
		h.dead.Store(true)
		client := door.NewClient("http://door", p.Token, nomadtest.Direct(h.mouth))
		work, err := client.Claim(t.Context(), p.Task.ID, p.Epoch, "agent")
		require.NoError(t, err)
		l := work.Lease
		sends := make(chan error, 1)
		go func() { // as an agent does: it keeps what was not taken
			for {
				err := client.PutStep(context.Background(), l, ci.Step{Kind: ci.StepRun, Name: "echo hi", Status: ci.Running, Started: time.Now()})
				if err == nil {
					_, err = client.Append(context.Background(), l, 0, 0, []byte("hi\n"))
				}
				if err == nil || door.Final(err) {
					sends <- err
					return
				}
				time.Sleep(time.Second)
			}
		}()
		require.Equal(t, "", h.says(10*time.Second))
		for range 10 {
			time.Sleep(10 * time.Second)
			_, err = client.Renew(t.Context(), l)
			require.NoError(t, err)
		}
		require.Equal(t, operator.OutputNotArriving, h.says(0))
		h.dead.Store(false)
		require.NoError(t, <-sends)
		require.Equal(t, "", h.says(0))
		require.NoError(t, client.Finish(t.Context(), l, ci.Report{Task: p.Task.ID, Workflow: p.Task.Workflow, Epoch: p.Epoch, Status: ci.Success}))
		size, err := h.Logs.Size(t.Context(), ci.LogKey{Task: p.Task.ID, Epoch: p.Epoch})
		require.NoError(t, err)
		require.Equal(t, int64(len("hi\n")), size)
	})
}
