package agent_test

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
)

// An agent runs one task of a server that lives in this process.
func Example() {
	server := new(agenttest.Server)
	work := agenttest.Work(
		ci.StepSpec{Kind: ci.StepRun, Name: "greet", Command: "echo hello from $CIRCLE_JOB"},
		ci.StepSpec{Kind: ci.StepRun, Name: "go test", Command: "exit 2"},
	)
	server.Add(work)

	a := agent.New(server, server, agent.Config{})
	if err := a.Run(context.Background(), work.Lease.Task, work.Lease.Epoch); err != nil {
		fmt.Println(err)
	}
	report, _ := server.Report(work.Lease.Task)
	fmt.Print(server.Output(work.Lease.Task, 1))
	fmt.Println(report.Status, report.Reason)
	// Output:
	// hello from build
	// failed step "go test" exited with code 2
}
