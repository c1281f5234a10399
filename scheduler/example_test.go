package scheduler_test

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// A scheduler between an event that a job is ready and the report that it
// succeeded, with an agent that does nothing.
func ExampleNew() {
	var s *scheduler.Scheduler
	agent := func(ctx context.Context, p scheduler.Placement) error {
		lease, err := s.Claim(ctx, p.Task.ID, p.Epoch, "agent 1")
		if err != nil {
			return err
		}
		return s.Finish(ctx, lease, ci.Report{Status: ci.Success})
	}
	cluster := schedulertest.NewCluster(agent, schedulertest.Node("n1", 4, 8192))
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	report := func(_ context.Context, r ci.Report) error { // ci.Server.Report
		if r.Status.Ended() {
			fmt.Println(r.Task, "epoch", r.Epoch, "is", r.Status)
			stop()
		}
		return nil
	}
	follow := func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] { // ci.Server.Follow
		return func(yield func(ci.Event, error) bool) {
			task := ci.Task{Job: "build", Project: "shop", Total: 1}.Slice(0)
			if after == 0 && !yield(ci.Event{Seq: 1, Kind: ci.JobQueued, Task: &task}, nil) {
				return
			}
			<-ctx.Done()
		}
	}
	s = scheduler.New(new(schedulertest.Backlog), cluster, report, scheduler.Config{})
	if err := s.Run(ctx, follow); err != nil {
		fmt.Println(err)
	}
	// Output: build.0 epoch 1 is success
}

func ExampleDefaultClasses() {
	fmt.Println(scheduler.DefaultClasses()["medium"])
	// Output: 2 CPU, 4096 MB
}
