package local_test

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
)

// Agents that are functions of this process.
func ExampleNew() {
	cluster := local.New(local.Func(func(_ context.Context, p scheduler.Placement) error {
		fmt.Println("agent of", p.Task.ID)
		return nil
	}), local.Config{})
	ctx := context.Background()
	p := scheduler.Placement{Task: ci.Task{Job: "build", Total: 1}.Slice(0), Epoch: 1}
	if err := cluster.Submit(ctx, p); err != nil {
		fmt.Println(err)
		return
	}
	for got, err := range cluster.Watch(ctx) {
		if err != nil || got.State == scheduler.PlacementDead {
			fmt.Println(got.State, got.Reason, err)
			break
		}
	}
	ended, stop := context.WithCancel(ctx) // Run removes what the agents have written
	stop()
	if err := cluster.Run(ended); err != nil {
		fmt.Println(err)
	}
	// Output:
	// agent of build.0
	// dead the agent ended its task <nil>
}
