package nomad_test

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
)

// A task is handed to a Nomad, here one in memory, and its end is seen.
func ExampleNew() {
	server := nomadtest.New(func(context.Context, nomadtest.Start) error { return nil })
	defer server.Close()
	server.AddNode("client-1", 4, 16384, nil) // of which 2 CPUs and 4 GB are its own

	cluster, err := nomad.New(
		nomad.Server{Address: "http://127.0.0.1:4646", HTTP: server.Client()},
		nomad.Agent{Command: "/usr/local/bin/rondo-agent", Door: "http://10.0.0.5:8585"},
		nomad.Config{},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go cluster.Run(ctx)

	nodes, err := cluster.Nodes(ctx)
	fmt.Println(nodes[0].Name, nodes[0].Capacity, err)
	task := ci.Task{Job: "5a4e", Org: "acme", Repo: "shop", Number: 12, Total: 1}.Slice(0)
	err = cluster.Submit(ctx, scheduler.Placement{
		Task: task, Epoch: 1, Node: "client-1", Resources: scheduler.Resources{CPU: 1, MemoryMB: 512}, Token: "for this task",
	})
	fmt.Println("submitted", err)
	for p, err := range cluster.Watch(ctx) {
		if err != nil || p.State == scheduler.PlacementDead {
			fmt.Println(p.State, p.Reason, err)
			return
		}
	}
	// Output:
	// client-1 2 CPU, 12288 MB <nil>
	// submitted <nil>
	// dead the agent ended <nil>
}
