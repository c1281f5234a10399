package ci_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A server needs a store and a compiler. Here the compiler always plans the
// same two jobs, and this program is queue and agent in one: it follows the
// events and reports each queued job as done.
func ExampleNew() {
	store := newMemStore(ci.Project{ID: "p1", Slug: "local/acme/shop", Org: "acme", Repo: "shop"})
	compiler := ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
		return ci.Plan{Workflows: []ci.PlannedWorkflow{{
			Name: "main",
			Jobs: []ci.PlannedJob{
				{Name: "build"},
				{Name: "test", Requires: []ci.Requirement{{Job: "build"}}},
			},
		}}}, nil
	})
	server := ci.New(store, compiler, ci.Config{})

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = server.Run(ctx) }()

	p, err := server.Trigger(ctx, ci.Trigger{Project: "p1", Branch: "main", Revision: "4f2a1c0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("pipeline", p.Number, p.State)

	for e, err := range server.Follow(ctx, 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch e.Kind {
		case ci.JobQueued:
			for _, s := range []ci.Status{ci.Running, ci.Success} {
				_ = server.Report(ctx, ci.Report{Task: e.Task.ID, Epoch: 1, Status: s})
			}
		case ci.JobEnded:
			fmt.Println(e.Name, e.Status)
		case ci.WorkflowEnded:
			fmt.Println(e.Name, e.Status)
			return
		}
	}
	// Output:
	// pipeline 1 pending
	// build success
	// test success
	// main success
}

// The rules of the graph need no server: a workflow is a value, and each of
// its methods returns the events that tell what happened.
func ExampleNewWorkflow() {
	plan := ci.PlannedWorkflow{Name: "main", Jobs: []ci.PlannedJob{
		{Name: "test"},
		{Name: "hold", Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "test"}}},
		{Name: "deploy", Requires: []ci.Requirement{{Job: "hold"}}},
	}}
	now := time.Now()
	w, events := ci.NewWorkflow(ci.Pipeline{ID: "p"}, "acme", plan, ci.Actor{}, now)
	print := func(events []ci.Event, _ error) {
		for _, e := range events {
			fmt.Println(e.Kind, e.Name, e.Status)
		}
	}
	print(events, nil)
	print(w.Report(ci.Report{Task: w.JobNamed("test").ID.Task(0), Epoch: 1, Status: ci.Running}, now))
	print(w.Report(ci.Report{Task: w.JobNamed("test").ID.Task(0), Epoch: 1, Status: ci.Success}, now))
	print(w.Approve(w.JobNamed("hold").ID, ci.Actor{Login: "alice"}, now))
	// Output:
	// workflow.started main running
	// job.queued test queued
	// job.started test running
	// job.ended test success
	// job.held hold on_hold
	// workflow.changed main on_hold
	// job.approved hold success
	// job.ended hold success
	// job.queued deploy queued
	// workflow.changed main running
}

// An ended workflow is run again from what failed; the rest is kept.
func ExampleWorkflow_Rerun() {
	plan := ci.PlannedWorkflow{Name: "main", Jobs: []ci.PlannedJob{{Name: "lint"}, {Name: "test"}}}
	now := time.Now()
	w, _ := ci.NewWorkflow(ci.Pipeline{ID: "p"}, "acme", plan, ci.Actor{}, now)
	_, _ = w.Report(ci.Report{Task: w.JobNamed("lint").ID.Task(0), Epoch: 1, Status: ci.Success}, now)
	_, _ = w.Report(ci.Report{Task: w.JobNamed("test").ID.Task(0), Epoch: 1, Status: ci.Failed}, now)

	again, _, err := w.Rerun(ci.Rerun{FromFailed: true}, ci.Actor{Login: "alice"}, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, j := range again.Jobs {
		fmt.Println(j.Name, j.Status, "attempt", j.Attempt, "kept", j.Kept)
	}
	// Output:
	// lint success attempt 1 kept true
	// test queued attempt 2 kept false
}

// Task identities are made of a job's and an index, and come apart again.
func ExampleJobID_Task() {
	task := ci.JobID("0198f0e2-0000-7000-8000-000000000001").Task(3)
	job, index, ok := task.Split()
	fmt.Println(task)
	fmt.Println(job, index, ok)
	// Output:
	// 0198f0e2-0000-7000-8000-000000000001.3
	// 0198f0e2-0000-7000-8000-000000000001 3 true
}

func ExampleNewID() {
	a, b := ci.NewID(), ci.NewID()
	fmt.Println(len(a), a != b)
	// Output:
	// 36 true
}

// Refusals wrap one of four sentinels; anything else is worth a retry.
func ExampleWorkflow_Cancel() {
	now := time.Now()
	w, _ := ci.NewWorkflow(ci.Pipeline{ID: "p"}, "acme", ci.PlannedWorkflow{Name: "main"}, ci.Actor{}, now)
	_, err := w.Cancel(ci.Actor{Login: "alice"}, "", now)
	fmt.Println(err)
	fmt.Println(errors.Is(err, ci.ErrConflict))
	// Output:
	// cancel workflow main: it has ended (success): conflict
	// true
}

func ExampleActor() {
	fmt.Println(ci.Actor{}, ci.Actor{Kind: ci.ActorUser, Login: "alice"}, ci.Actor{Kind: ci.ActorSchedule})
	// Output: system alice schedule
}
