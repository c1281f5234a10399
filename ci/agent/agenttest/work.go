package agenttest

import (
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Work returns the work of a job with the steps, under epoch 1 of a new task,
// with a lease that is renewed every 50 ms and lasts two seconds.
func Work(steps ...ci.StepSpec) ci.Work {
	job := ci.JobID(ci.NewID())
	task := ci.Task{
		Job: job, Name: "build", Number: 7, Workflow: ci.WorkflowID(ci.NewID()),
		Pipeline: ci.PipelineID(ci.NewID()), Project: "project-1", Org: "acme", Total: 1,
		Executor: ci.ExecutorDocker,
	}.Slice(0)
	return ci.Work{
		Lease: ci.Lease{Task: task.ID, Epoch: 1, TTL: 2 * time.Second, Renew: 50 * time.Millisecond},
		Task:  task,
		Job: ci.PlannedJob{Name: "build", JobSpec: ci.JobSpec{
			Executor: ci.Executor{Kind: ci.ExecutorDocker, Images: []ci.Image{{Image: "cimg/base:2020.01"}}},
			Steps:    steps,
		}},
		Workflow: "test",
		Pipeline: ci.Pipeline{ID: task.Pipeline, Number: 3, Trigger: ci.Trigger{
			Project: "project-1", Branch: "main", Revision: "0123456789012345678901234567890123456789",
		}},
		Project: ci.Project{ID: "project-1", Slug: "local/acme/shop", Org: "acme", Repo: "shop"},
	}
}

// Run returns a run step.
func Run(command string) ci.StepSpec { return ci.StepSpec{Kind: ci.StepRun, Command: command} }
