package citest

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// now is an instant as every database can hold it: UTC, whole microseconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// same requires that two values are equal; an empty list is no list, and times
// must be equal down to the zone.
func same(t *testing.T, want, got any) {
	t.Helper()
	zoned := cmp.Comparer(func(a, b time.Time) bool { return a == b }) //nolint:revive // the zone counts
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), zoned); diff != "" {
		t.Fatalf("not as it was written (-want +got):\n%s", diff)
	}
}

// all collects a sequence.
func all[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		require.NoError(t, err)
		out = append(out, v)
	}
	return out
}

// failure returns the first error of a sequence.
func failure[T any](seq iter.Seq2[T, error]) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

// project writes a project with that name and returns it.
func project(t *testing.T, s ci.Store, name string) ci.Project {
	t.Helper()
	p := ci.Project{
		ID: ci.ProjectID(ci.NewID()), Slug: "gh/acme/" + name, Org: "acme", Repo: name,
		CloneURL: "https://example.com/acme/" + name, DefaultBranch: "main", Settings: ci.Settings{AutoCancel: true},
	}
	require.NoError(t, s.PutProject(t.Context(), p))
	return p
}

// pipeline returns a pipeline of the project, as a trigger makes it.
func pipeline(p ci.ProjectID, branch string) ci.Pipeline {
	at := now()
	return ci.Pipeline{
		ID: ci.PipelineID(ci.NewID()), State: ci.PipelinePending, Created: at, Updated: at,
		Trigger: ci.Trigger{
			Project: p, Source: ci.SourceWebhook, Branch: branch, Revision: "0123456789abcdef0123456789abcdef01234567",
			Actor: ci.Actor{ID: "7", Kind: ci.ActorUser, Login: "alice"}, Subject: "say <hello> & go",
		},
	}
}

// created is the event of a pipeline that was accepted.
func created(p ci.Pipeline) ci.Event {
	return ci.Event{
		Time: p.Created, Kind: ci.PipelineCreated, Project: p.Trigger.Project, Pipeline: p.ID,
		Name: p.Trigger.Branch, Actor: p.Trigger.Actor,
	}
}

// create writes a new pipeline on the branch.
func create(t *testing.T, s ci.Store, p ci.ProjectID, branch string) ci.Pipeline {
	t.Helper()
	want := pipeline(p, branch)
	kept, isNew, err := s.Create(t.Context(), want, created(want))
	require.NoError(t, err)
	require.True(t, isNew)
	return kept
}

// planned is a plan with one workflow: build, then test on two nodes, then an
// approval, then deploy.
func planned() ci.Plan {
	run := func(name string, nodes int, requires ...ci.Requirement) ci.PlannedJob {
		return ci.PlannedJob{Name: name, Requires: requires, JobSpec: ci.JobSpec{
			Executor: ci.Executor{Kind: ci.ExecutorDocker, Images: []ci.Image{{Image: "go:1"}}}, ResourceClass: "small",
			Parallelism: nodes, Steps: []ci.StepSpec{{Kind: ci.StepRun, Command: "make " + name}},
		}}
	}
	return ci.Plan{Source: "version: 2.1\n", Workflows: []ci.PlannedWorkflow{{Name: "main", Jobs: []ci.PlannedJob{
		run("build", 0),
		run("test", 2, ci.Requirement{Job: "build"}),
		{Name: "hold", Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "test", Statuses: []ci.Status{ci.Success}}}},
		run("deploy", 0, ci.Requirement{Job: "hold"}),
	}}}}
}

// start creates a pipeline on the branch and starts its one workflow. It
// returns the workflow as kept.
func start(t *testing.T, s ci.Store, p ci.Project, branch string) ci.Workflow {
	t.Helper()
	kept := create(t, s, p.ID, branch)
	var id ci.WorkflowID
	err := s.Start(t.Context(), kept.ID, func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		plan := planned()
		w, events := ci.NewWorkflow(*q, p.Org, plan.Workflows[0], q.Trigger.Actor, now())
		q.State, q.Updated, q.Plan, id = ci.PipelineReady, now(), &plan, w.ID
		return []ci.Workflow{w}, events, nil
	})
	require.NoError(t, err)
	return load(t, s, id)
}

func load(t *testing.T, s ci.Store, id ci.WorkflowID) ci.Workflow {
	t.Helper()
	w, err := s.Workflow(t.Context(), id)
	require.NoError(t, err)
	return w
}

// finish reports that all tasks of the named job have ended so.
func finish(t *testing.T, s ci.Store, w ci.Workflow, job string, status ci.Status) {
	t.Helper()
	j := w.JobNamed(job)
	require.NotNil(t, j, job)
	for i := range max(j.Parallelism, 1) {
		require.NoError(t, report(t.Context(), s, w.ID, ci.Report{Task: j.ID.Task(i), Epoch: 1, Status: status}))
	}
}

func report(ctx context.Context, s ci.Store, id ci.WorkflowID, r ci.Report) error {
	return s.Update(ctx, id, func(w *ci.Workflow) ([]ci.Event, error) { return w.Report(r, now()) })
}
