package ci_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

func TestWorkflow_Start(t *testing.T) {
	tests := []struct {
		name   string
		plan   []string
		want   string
		status ci.Status
	}{
		{"nothing to do", nil, "", ci.Success},
		{"one job", []string{"a"}, "a=queued", ci.Running},
		{"a chain, written backwards", []string{"c: b", "b: a", "a"}, "c=blocked b=blocked a=queued", ci.Running},
		{"joints only", []string{"b!no-op: a", "a!no-op"}, "b=success a=success", ci.Success},
		{"a person is asked at once", []string{"a!approval", "b: a"}, "a=on_hold b=blocked", ci.OnHold},
		{"a required job that was filtered out", []string{"a: gone"}, "a=queued", ci.Running},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFlow(t, planned(tt.plan...))
			require.Equal(t, tt.want, f.statuses())
			require.Equal(t, tt.status, f.w.Status)
			require.Equal(t, tt.status.Ended(), !f.w.Stopped.IsZero())
		})
	}
}

// The status of the whole for every mix of ends.
func TestWorkflow_Outcome(t *testing.T) {
	tests := []struct {
		ends []ci.Status // of a, b and c, in turn; c requires nothing
		want []ci.Status // of the workflow after each
	}{
		{[]ci.Status{ci.Success, ci.Success, ci.Success}, []ci.Status{ci.Running, ci.Running, ci.Success}},
		{[]ci.Status{ci.Failed, ci.Success, ci.Success}, []ci.Status{ci.Failing, ci.Failing, ci.Failed}},
		{[]ci.Status{ci.Success, ci.TimedOut, ci.Success}, []ci.Status{ci.Running, ci.Failing, ci.Failed}},
		{[]ci.Status{ci.Success, ci.Success, ci.InfraFailed}, []ci.Status{ci.Running, ci.Running, ci.Failed}},
		{[]ci.Status{ci.Canceled, ci.Success, ci.Success}, []ci.Status{ci.Running, ci.Running, ci.Canceled}},
		{[]ci.Status{ci.Canceled, ci.Failed, ci.Success}, []ci.Status{ci.Running, ci.Failing, ci.Canceled}},
	}
	for _, tt := range tests {
		f := newFlow(t, planned("a", "b", "c"))
		for i, name := range []string{"a", "b", "c"} {
			if tt.ends[i] == ci.Canceled {
				require.NoError(t, f.cancelJob(name, alice))
			} else {
				f.end(name, tt.ends[i])
			}
			require.Equal(t, tt.want[i], f.w.Status, "%v after %s", tt.ends, name)
		}
		require.Equal(t, f.now, f.w.Stopped)
	}
}

func TestP25_FanInFiresOnce(t *testing.T) {
	f := newFlow(t, planned("a", "b", "c", "d: a b c"))
	for _, n := range []string{"b", "c", "a"} {
		require.Equal(t, ci.Blocked, f.w.JobNamed("d").Status)
		f.end(n, ci.Success)
	}
	require.Equal(t, ci.Queued, f.w.JobNamed("d").Status)
	require.Equal(t, 1, f.queued[f.w.JobNamed("d").ID])
}

// A job is given up as soon as it can never run, in whatever order its
// requirements are written.
func TestP25_NotRunAtOnce(t *testing.T) {
	for _, d := range []string{"d: a b", "d: b a"} {
		f := newFlow(t, planned("a", "b", d, "e: d"))
		f.end("a", ci.Failed)
		require.Equal(t, "a=failed b=queued d=not_run e=not_run", f.statuses())
		require.Contains(t, f.w.JobNamed("d").Reason, `"a"`)
		require.Equal(t, ci.Failing, f.w.Status)
	}
}

func TestP25_ApprovalOnce(t *testing.T) {
	f := newFlow(t, planned("build", "hold!approval: build", "deploy: hold"))
	require.ErrorIs(t, f.approve("hold", alice), ci.ErrConflict, "too early")
	require.ErrorIs(t, f.approve("build", alice), ci.ErrInvalid, "not an approval job")
	f.end("build", ci.Success)
	require.Equal(t, ci.OnHold, f.w.Status)
	require.NoError(t, f.approve("hold", alice))
	require.Equal(t, "build=success hold=success deploy=queued", f.statuses())
	require.Equal(t, alice, f.w.JobNamed("hold").Approved)
	require.ErrorIs(t, f.approve("hold", bob), ci.ErrConflict, "twice")
	require.Equal(t, alice, f.w.JobNamed("hold").Approved)
	_, err := f.do(func(w *ci.Workflow, now time.Time) ([]ci.Event, error) { return w.Approve("stranger", bob, now) })
	require.ErrorIs(t, err, ci.ErrNotFound)
	f.end("deploy", ci.Success)
	require.Equal(t, ci.Success, f.w.Status)
}

// An approval tells who, and ends the job for those who watch ends only.
func TestWorkflow_ApprovalEvents(t *testing.T) {
	f := newFlow(t, planned("hold!approval"))
	require.NoError(t, f.approve("hold", alice))
	var kinds []ci.EventKind
	for _, e := range f.events {
		kinds = append(kinds, e.Kind)
	}
	require.Equal(t, []ci.EventKind{
		ci.WorkflowStarted, ci.JobHeld, ci.WorkflowChanged, ci.JobApproved, ci.JobEnded, ci.WorkflowEnded,
	}, kinds)
	require.Equal(t, alice, f.events[3].Actor)
}

func TestP25_CancelIsFinal(t *testing.T) {
	f := newFlow(t, planned("a*2", "b", "hold!approval", "c: a=canceled", "d: hold"))
	require.NoError(t, f.report("a", 1, 1, ci.Running))
	require.NoError(t, f.report("b", 0, 1, ci.Running))
	require.NoError(t, f.report("b", 0, 1, ci.Success))
	require.NoError(t, f.cancel(bob, "no longer needed"))
	require.Equal(t, "a=canceled b=success hold=canceled c=canceled d=canceled", f.statuses())
	require.Equal(t, ci.Canceled, f.w.Status)
	require.Equal(t, bob, f.w.Canceled)
	require.Equal(t, "canceled by bob: no longer needed", f.w.JobNamed("a").Reason)

	require.ErrorIs(t, f.cancel(bob, ""), ci.ErrConflict)
	require.ErrorIs(t, f.cancelJob("a", bob), ci.ErrConflict)
	require.ErrorIs(t, f.approve("hold", bob), ci.ErrConflict)
	require.ErrorIs(t, f.retry(ci.Rerun{FromFailed: true}), ci.ErrConflict)
	for _, s := range []ci.Status{ci.Running, ci.Success, ci.Failed} { // the agent did not know yet
		require.NoError(t, f.report("a", 1, 1, s))
	}
	require.ErrorIs(t, f.report("a", 1, 1, ci.Queued), ci.ErrConflict, "it must not run again")
	require.Equal(t, ci.Canceled, f.w.JobNamed("a").Status)
	for _, task := range f.w.JobNamed("a").Tasks {
		require.Equal(t, ci.Canceled, task.Status)
	}
	last := f.events[len(f.events)-1]
	require.Equal(t, ci.WorkflowEnded, last.Kind)
	require.Equal(t, bob, last.Actor)
}

// Who canceled the job that ended the workflow is who canceled the workflow.
func TestWorkflow_CancelJobNamesTheActor(t *testing.T) {
	f := newFlow(t, planned("a", "b: a", "c: a=canceled"))
	require.NoError(t, f.cancelJob("a", bob))
	require.Equal(t, "a=canceled b=not_run c=queued", f.statuses())
	f.end("c", ci.Success)
	require.Equal(t, ci.Canceled, f.w.Status)
	require.Equal(t, bob, f.w.Canceled)
	require.Equal(t, bob, f.events[len(f.events)-1].Actor)
	_, err := f.do(func(w *ci.Workflow, now time.Time) ([]ci.Event, error) { return w.CancelJob("stranger", bob, now) })
	require.ErrorIs(t, err, ci.ErrNotFound)
}

// The task of a queued job says all that a queue needs.
func TestWorkflow_QueuedTask(t *testing.T) {
	plan := planned("a*3")
	plan.Jobs[0].ResourceClass = "large"
	plan.Jobs[0].Executor.Kind = ci.ExecutorMachine
	f := newFlow(t, plan)
	e := f.events[1]
	require.Equal(t, ci.JobQueued, e.Kind)
	want := ci.Task{
		ID: e.Job.Task(0), Job: e.Job, Name: "a", Workflow: f.w.ID, Pipeline: "pipeline", Project: "project",
		Org: "acme", Total: 3, Class: "large", Executor: ci.ExecutorMachine, Queued: epochZero,
	}
	require.Equal(t, want, *e.Task)
	last := e.Task.Slice(2)
	want.ID, want.Index = e.Job.Task(2), 2
	require.Equal(t, want, last)
}

func TestWorkflow_Upstream(t *testing.T) {
	f := newFlow(t, planned("e: d b", "d: c b gone", "c: a", "b: a", "a", "x"))
	require.Equal(t, []string{"a", "c", "b", "d"}, f.w.Upstream("e"))
	require.Equal(t, []string{"a"}, f.w.Upstream("b"))
	require.Empty(t, f.w.Upstream("x"))
	require.Empty(t, f.w.Upstream("stranger"))
}
