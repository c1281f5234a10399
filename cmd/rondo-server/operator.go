package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/operator"
	"github.com/rondo-ci/rondo/scheduler"
)

// openDesk makes the desk of operators, over an engine that is there.
func (in *installation) openDesk() {
	queue := in.engine.Scheduler
	in.desk = operator.New(queue, machines{in.engine.Cluster}, in.db, operator.Config{
		Line: func(usage bool, n int) (first, last []ci.Ticket, total int) {
			if usage {
				return queue.Queue(scheduler.UsageQueue, n)
			}
			return queue.Queue(scheduler.RunQueue, n)
		},
		CancelJob: in.engine.Server.CancelJob, Operator: in.mayOperate, May: in.may, Record: in.recorded, JobURL: in.jobURL,
	})
	in.began = time.Now()
}

// mayOperate lets operators and administrators run machines and queue.
func (in *installation) mayOperate(ctx context.Context, by ci.Actor) error {
	return in.allowed(ctx, by, auth.RoleOperator)
}

// machines are a cluster in the words of the desk.
type machines struct{ scheduler.Cluster }

func (m machines) DrainNode(ctx context.Context, node string, on bool, deadline time.Duration) error {
	return m.Drain(ctx, node, scheduler.Drain{On: on, Deadline: deadline})
}

func (m machines) AgentOutput(ctx context.Context, t ci.Task, epoch int64, stderr bool) (io.ReadCloser, error) {
	return m.Output(ctx, scheduler.Placement{Task: t, Epoch: epoch}, stderr)
}

// addressFile is where in the data folder the server leaves its address, for
// commands on this machine; the token is beside it.
const addressFile = "address"

// leaveAddress writes the address and returns what takes it away.
func (in *installation) leaveAddress() (func(), error) {
	file := in.folder.Join(addressFile)
	at := "http://" + reachable(in.page.Addr().String())
	if in.shown != nil { // the certificate is for that name
		at = in.url
	}
	if err := os.WriteFile(file, []byte(at+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("leave the address for commands: %w", err)
	}
	return func() {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			in.log.Warn("take the address for commands away", "err", err)
		}
	}, nil
}
