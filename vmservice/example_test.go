package vmservice_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

// A pool keeps machines ready and gives one to each task.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cloud := vmservicetest.NewCloud(vmservicetest.CloudConfig{Install: "rondo"})
	pool := vmservice.New(memdb.New(), cloud, &vmservicetest.Guest{}, vmservice.Config{})
	ended := make(chan error)
	go func() { ended <- pool.Run(ctx) }()

	need := ci.MachineNeed{Kind: ci.MachineForJob, Class: "medium"}
	for {
		m, err := pool.Claim(ctx, "task", 1, "project", "branch", need)
		if err != nil {
			fmt.Println(err)
			return
		}
		if m.Ready {
			fmt.Println("machine for", m.User)
			break
		}
		time.Sleep(10 * time.Millisecond) // m.Reason says why
	}
	fmt.Println(pool.Release(ctx, "task", 1))
	cancel()
	fmt.Println(<-ended)
	// Output:
	// machine for circleci
	// <nil>
	// context canceled
}

// A fleet changes the provider while jobs run.
func ExampleFleet() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	docs := memdb.New()
	pool := func(provider string) *vmservice.Pool {
		cloud := vmservicetest.NewCloud(vmservicetest.CloudConfig{Install: "rondo"})
		return vmservice.New(docs, cloud, &vmservicetest.Guest{}, vmservice.Config{Boot: vmservice.BootConfig{Provider: provider}})
	}
	fleet := vmservice.NewFleet(docs, nil)
	ended := make(chan error)
	go func() { ended <- fleet.Run(ctx) }()

	need := ci.MachineNeed{Kind: ci.MachineForJob}
	claim := func() string {
		for {
			m, err := fleet.Claim(ctx, "task", 1, "project", "branch", need)
			if err != nil {
				return err.Error()
			}
			if m.Ready {
				return m.ID
			}
			time.Sleep(10 * time.Millisecond) // m.Reason says why
		}
	}
	fleet.Use(pool("here"), nil)
	had := claim()
	fleet.Use(pool("there"), nil)
	fmt.Println("in force:", fleet.Status().Provider)
	fmt.Println("the job keeps its machine:", claim() == had)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// in force: there
	// the job keeps its machine: true
	// context canceled
}
