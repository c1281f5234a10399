package ci_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

var shop = ci.Project{
	ID: "shop", Slug: "local/acme/shop", Org: "acme", Repo: "shop",
	CloneURL: "/srv/shop", DefaultBranch: "main", Settings: ci.Settings{AutoCancel: true},
}

// compiles returns a compiler that always gives the same workflows.
func compiles(workflows ...ci.PlannedWorkflow) ci.CompilerFunc {
	return func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
		return ci.Plan{Workflows: workflows, Warnings: []string{"a remark"}}, nil
	}
}

// push is a trigger on a branch.
func push(branch, revision string) ci.Trigger {
	return ci.Trigger{Project: "shop", Source: ci.SourceWebhook, Branch: branch, Revision: revision, Actor: alice}
}

// serve runs the server until the test ends, or until stop is called.
func serve(t *testing.T, s *ci.Server) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

// trigger accepts the trigger and fails the test otherwise.
func trigger(t *testing.T, s *ci.Server, tr ci.Trigger) ci.Pipeline {
	t.Helper()
	p, err := s.Trigger(t.Context(), tr)
	require.NoError(t, err)
	return p
}

// workflowOf returns the only workflow of the pipeline.
func workflowOf(t *testing.T, m *memStore, id ci.PipelineID) *ci.Workflow {
	t.Helper()
	all, err := m.Workflows(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, all, 1)
	return &all[0]
}

// finish reports the named job of the workflow as ended.
func finish(t *testing.T, s *ci.Server, m *memStore, id ci.WorkflowID, name string, status ci.Status) {
	t.Helper()
	w, err := m.Workflow(t.Context(), id)
	require.NoError(t, err)
	j := w.JobNamed(name)
	for i := range j.Tasks {
		for _, st := range []ci.Status{ci.Running, status} {
			r := ci.Report{Task: j.ID.Task(i), Epoch: 1, Status: st}
			require.NoError(t, s.Report(t.Context(), r))
		}
	}
}

func TestServer_TriggerRefused(t *testing.T) {
	m := newMemStore(shop)
	s := ci.New(m, compiles(), ci.Config{})
	tests := map[string]struct {
		change func(*ci.Trigger)
		want   error
	}{
		"no project":         {func(t *ci.Trigger) { t.Project = "" }, ci.ErrInvalid},
		"unknown project":    {func(t *ci.Trigger) { t.Project = "other" }, ci.ErrNotFound},
		"no revision":        {func(t *ci.Trigger) { t.Revision = "" }, ci.ErrInvalid},
		"no branch or tag":   {func(t *ci.Trigger) { t.Branch = "" }, ci.ErrInvalid},
		"both branch, tag":   {func(t *ci.Trigger) { t.Tag = "v1" }, ci.ErrInvalid},
		"the store is away":  {func(*ci.Trigger) { m.failing(func(string) error { return errors.New("disk full") }) }, nil},
		"nothing is written": {func(t *ci.Trigger) { t.Project = ""; m.failing(nil) }, ci.ErrInvalid},
	}
	for name, tt := range tests {
		m.failing(nil)
		tr := push("main", "r1")
		tt.change(&tr)
		_, err := s.Trigger(t.Context(), tr)
		require.Error(t, err, name)
		if tt.want != nil {
			require.ErrorIs(t, err, tt.want, name)
		}
	}
	require.Empty(t, m.pipelines)
	require.Empty(t, m.events)
}

// A schedule's pipeline that came late says so, before other remarks.
func TestServer_Late(t *testing.T) {
	for name, tt := range map[string]struct {
		ago  time.Duration
		want []string
	}{
		"on time": {time.Minute, []string{"a remark"}},
		"late": {90 * time.Minute, []string{
			"late: it was due at 22:30 on 1999-12-31 UTC and began 1h30m0s later, because no server was running or the code host did not answer", "a remark",
		}},
	} {
		synctest.Test(t, func(t *testing.T) { // its clock stands at midnight, 2000-01-01
			m := newMemStore(shop)
			s := ci.New(m, compiles(ci.PlannedWorkflow{Name: "main", Jobs: []ci.PlannedJob{{Name: "a"}}}), ci.Config{})
			defer serve(t, s)()
			tr := push("main", "r1")
			tr.Source, tr.Planned = ci.SourceSchedule, time.Now().Add(-tt.ago)
			p, err := s.Trigger(t.Context(), tr)
			require.NoError(t, err)
			synctest.Wait()
			p, err = m.Pipeline(t.Context(), p.ID)
			require.NoError(t, err)
			require.Equal(t, tt.want, p.Warnings, name)
		})
	}
}

// A trigger seen before gives the first pipeline, however many come at once.
func TestP2_TriggerIsIdempotent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		s := ci.New(m, compiles(planned("a")), ci.Config{})
		serve(t, s)
		var compiled sync.Map
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				tr := push("main", "r1")
				tr.Key = "delivery-1"
				p, err := s.Trigger(t.Context(), tr)
				if err != nil {
					t.Error(err)
				}
				compiled.Store(p.ID, true)
			})
		}
		all.Wait()
		synctest.Wait()
		n := 0
		compiled.Range(func(any, any) bool { n++; return true })
		require.Equal(t, 1, n)
		require.Len(t, m.pipelines, 1)
		require.Len(t, m.workflows, 1)

		tr := push("main", "r1")
		trigger(t, s, tr)
		trigger(t, s, tr)
		synctest.Wait()
		require.Len(t, m.pipelines, 3, "no key is never a repetition")
		require.Equal(t, int64(3), m.pipelines[2].Number)
	})
}

// A report reaches its workflow without being told which.
func TestServer_Report(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		s := ci.New(m, compiles(planned("a", "b: a")), ci.Config{})
		serve(t, s)
		p := trigger(t, s, push("main", "r1"))
		synctest.Wait()
		w := workflowOf(t, m, p.ID)
		finish(t, s, m, w.ID, "a", ci.Success)
		finish(t, s, m, w.ID, "b", ci.Success)
		require.Equal(t, ci.Success, workflowOf(t, m, p.ID).Status)
		require.Equal(t, int64(2), workflowOf(t, m, p.ID).JobNamed("b").Number)
		require.ErrorIs(t, s.Report(t.Context(), ci.Report{Task: "stranger.0", Status: ci.Running}), ci.ErrNotFound)
		require.ErrorIs(t, s.Report(t.Context(), ci.Report{Task: "rubbish", Status: ci.Running}), ci.ErrInvalid)
		require.ErrorIs(t, s.Report(t.Context(), ci.Report{Workflow: "stranger", Task: "x.0"}), ci.ErrNotFound)
	})
}

// Reports of all slices at once lose nothing.
func TestARC04_ReportsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		s := ci.New(m, compiles(planned("a*40", "b: a")), ci.Config{})
		serve(t, s)
		p := trigger(t, s, push("main", "r1"))
		synctest.Wait()
		j := workflowOf(t, m, p.ID).JobNamed("a")
		var all sync.WaitGroup
		for i := range 40 {
			for _, status := range []ci.Status{ci.Running, ci.Success, ci.Success} {
				all.Go(func() {
					if err := s.Report(t.Context(), ci.Report{Task: j.ID.Task(i), Epoch: 1, Status: status}); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		w := workflowOf(t, m, p.ID)
		require.Equal(t, ci.Success, w.JobNamed("a").Status)
		require.Equal(t, ci.Queued, w.JobNamed("b").Status)
	})
}

// Twenty people press approve: one of them did it (A024).
func TestP25_ApproveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		s := ci.New(m, compiles(planned("hold!approval", "b: hold")), ci.Config{})
		serve(t, s)
		p := trigger(t, s, push("main", "r1"))
		synctest.Wait()
		w := workflowOf(t, m, p.ID)
		var good, refused atomic.Int32
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				by := ci.Actor{ID: fmt.Sprint(i), Kind: ci.ActorUser}
				switch err := s.Approve(t.Context(), w.ID, w.JobNamed("hold").ID, by); {
				case err == nil:
					good.Add(1)
				case errors.Is(err, ci.ErrConflict):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.Equal(t, int32(1), good.Load())
		require.Equal(t, int32(19), refused.Load())
		approved := 0
		for _, e := range m.events {
			if e.Kind == ci.JobApproved {
				approved++
			}
		}
		require.Equal(t, 1, approved)
		require.ErrorIs(t, s.Approve(t.Context(), "stranger", "x", bob), ci.ErrNotFound)
	})
}

func TestServer_Cancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		s := ci.New(m, compiles(planned("a", "b")), ci.Config{})
		serve(t, s)
		p := trigger(t, s, push("main", "r1"))
		synctest.Wait()
		w := workflowOf(t, m, p.ID)
		require.NoError(t, s.CancelJob(t.Context(), w.ID, w.Jobs[0].ID, bob))
		require.Equal(t, ci.Running, workflowOf(t, m, p.ID).Status)
		require.NoError(t, s.Cancel(t.Context(), w.ID, bob))
		require.Equal(t, ci.Canceled, workflowOf(t, m, p.ID).Status)
		require.ErrorIs(t, s.Cancel(t.Context(), w.ID, bob), ci.ErrConflict)
		require.ErrorIs(t, s.Cancel(t.Context(), "stranger", bob), ci.ErrNotFound)
		require.ErrorIs(t, s.CancelJob(t.Context(), w.ID, w.Jobs[0].ID, bob), ci.ErrConflict)
	})
}
