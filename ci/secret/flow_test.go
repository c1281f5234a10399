package secret_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A flow is a server with the safe of a world.
type flow struct {
	*world
	server *ci.Server
	store  *memdb.DB
}

// newFlow serves a workflow whose jobs deploy and release, the latter behind an
// approval, ask for the context prod, which is for deployers.
func newFlow(t *testing.T) *flow {
	db := memdb.New()
	f := &flow{world: newWorldOver(t, db), store: db}
	require.NoError(t, db.PutProject(f.ctx, shop))
	f.set(ci.Holder{Project: shop.ID}, "P", "project")
	f.restrict(f.context("prod", "A", "x"), ci.RestrictGroup, "deployers")
	f.server = ci.New(db, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
		prod := []string{"prod"}
		return ci.Plan{Workflows: []ci.PlannedWorkflow{{Name: "w", Jobs: []ci.PlannedJob{
			{Name: "test"}, {Name: "deploy", Contexts: prod},
			{Name: "hold", Type: ci.JobApproval}, {Name: "release", Requires: []ci.Requirement{{Job: "hold"}}, Contexts: prod},
		}}}}, nil
	}), ci.Config{Secrets: f.Resolve, Allow: f.Allowed})
	ctx, cancel := context.WithCancel(f.ctx)
	done := make(chan error, 1)
	go func() { done <- f.server.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return f
}

// push returns the workflow of a push by the actor, from a fork if one is named.
func (f *flow) push(by ci.Actor, fork string) *ci.Workflow {
	f.t.Helper()
	p, err := f.server.Trigger(f.ctx, ci.Trigger{Project: shop.ID, Source: ci.SourceWebhook, Actor: by, Branch: "main", Revision: "abc", Fork: fork})
	require.NoError(f.t, err)
	synctest.Wait()
	all, err := f.store.Workflows(f.ctx, p.ID)
	require.NoError(f.t, err)
	return &all[0]
}

// approve approves the job hold.
func (f *flow) approve(w *ci.Workflow, by ci.Actor) {
	f.t.Helper()
	require.NoError(f.t, f.server.Approve(f.ctx, w.ID, w.JobNamed("hold").ID, by))
	now, err := f.store.Workflow(f.ctx, w.ID)
	require.NoError(f.t, err)
	*w = now
}

// work returns how many variables the named job gets, and why it may not run.
func (f *flow) work(w *ci.Workflow, name string) (int, string) {
	f.t.Helper()
	got, err := f.server.Work(f.ctx, ci.Lease{Task: w.JobNamed(name).ID.Task(0), Epoch: 1})
	require.NoError(f.t, err)
	return len(got.Environment), got.Refused
}

// TestSEC_JobsOfAServer proves in the whole server who gets a context: who
// pushed, who approved, who reran, and never a fork.
func TestSEC_JobsOfAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(t)
		const no = `context "prod": bob is not in the group deployers that it is restricted to: ask a member or an administrator of gh/acme to run or approve the job`

		w := f.push(bob, "")
		require.Equal(t, ci.Unauthorized, w.JobNamed("deploy").Status, "without a container")
		require.Equal(t, no, w.JobNamed("deploy").Reason)
		vars, refused := f.work(w, "test")
		require.Equal(t, 1, vars)
		require.Empty(t, refused)
		f.approve(w, alice)
		vars, refused = f.work(w, "release")
		require.Equal(t, 2, vars, "alice approved")
		require.Empty(t, refused)

		w = f.push(alice, "")
		require.Equal(t, ci.Queued, w.JobNamed("deploy").Status)
		f.approve(w, bob)
		vars, refused = f.work(w, "release")
		require.Zero(t, vars, "bob approved")
		require.Equal(t, no, refused)
		f.groups[acme+" alice"] = nil // she leaves before the job starts
		vars, refused = f.work(w, "deploy")
		require.Zero(t, vars)
		require.Contains(t, refused, "alice is not in the group")
		f.groups[acme+" alice"] = []string{"deployers"}

		again := f.rerun(f.push(bob, ""), alice)
		vars, _ = f.work(again, "deploy")
		require.Equal(t, 2, vars, "alice reran what bob pushed")
		again = f.rerun(f.push(alice, ""), bob)
		vars, refused = f.work(again, "deploy")
		require.Zero(t, vars, "bob reran what alice pushed")
		require.Equal(t, no, refused)

		w = f.push(mallory, "mallory/shop")
		require.Equal(t, ci.Unauthorized, w.JobNamed("deploy").Status)
		vars, refused = f.work(w, "test")
		require.Zero(t, vars, "not even the project's")
		require.Empty(t, refused)
		f.approve(w, admin)
		vars, refused = f.work(w, "release")
		require.Zero(t, vars)
		require.Contains(t, refused, "comes from the fork mallory/shop")
		again = f.rerun(w, admin)
		vars, refused = f.work(again, "deploy")
		require.Zero(t, vars, "a fork's code stays a fork's, whoever reruns it")
		require.Contains(t, refused, "comes from the fork mallory/shop")
	})
}

// rerun ends the workflow and runs all of it again.
func (f *flow) rerun(w *ci.Workflow, by ci.Actor) *ci.Workflow {
	f.t.Helper()
	require.NoError(f.t, f.server.Cancel(f.ctx, w.ID, admin))
	id, err := f.server.Rerun(f.ctx, w.ID, ci.Rerun{}, by)
	require.NoError(f.t, err)
	again, err := f.store.Workflow(f.ctx, id)
	require.NoError(f.t, err)
	return &again
}
