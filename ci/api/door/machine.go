package door

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Machines gives tasks machines of their own. A pool of them is one.
type Machines interface {
	// On reports whether there are to be machines at all, now or later.
	On() bool
	// Claim returns the machine of a task, or, not Ready, why it has to wait.
	// The same task and epoch get the same machine; [ci.ErrConflict] says that
	// it has ended, or that a newer epoch has one.
	Claim(ctx context.Context, task ci.TaskID, epoch int64, project ci.ProjectID, trust string, need ci.MachineNeed) (ci.Machine, error)
	// Release ends the machine of a task. One without is no error.
	Release(ctx context.Context, task ci.TaskID, epoch int64) error
}

// The tiers of trust of what a task builds: those of one never see the Docker
// layers of another. A pull request from a fork is the least trusted.
const (
	trustDefault = "default" // the default branch
	trustBranch  = "branch"  // any other of the project, and tags
	trustFork    = "fork"    // a pull request from elsewhere
)

func trustOf(w ci.Work) string {
	t := w.Pipeline.Trigger
	switch {
	case t.Fork != "":
		return trustFork
	case t.Branch != "" && t.Branch == w.Project.DefaultBranch:
		return trustDefault
	}
	return trustBranch
}

// machineNeed returns what a job with the machine executor needs; nil for the
// others, and where there are no machines: then it runs on that of its agent.
func (d *Door) machineNeed(j ci.PlannedJob) *ci.MachineNeed {
	if d.cfg.Machines == nil || !d.cfg.Machines.On() || j.Executor.Kind != ci.ExecutorMachine {
		return nil
	}
	return &ci.MachineNeed{Kind: ci.MachineForJob, Class: j.ResourceClass, Image: j.Executor.Machine, LayerCaching: j.Executor.LayerCaching}
}

// How long a call of Machine waits for one, and how often it looks.
const (
	machineWait = 20 * time.Second
	machineLook = 250 * time.Millisecond
)

// Machine returns the machine of a task, waiting for it up to 20 s; one that is
// not Ready says why, and the agent asks again. The machine ends with the task.
// [ci.ErrInvalid] when this server has none for such a need, or none at all,
// [ci.ErrNotFound] when the one that the task had has ended.
func (d *Door) Machine(ctx context.Context, l ci.Lease, need ci.MachineNeed) (ci.Machine, error) {
	if d.cfg.Machines == nil {
		return ci.Machine{}, fmt.Errorf("this installation has no machines: an administrator sets machines: in the settings of the server: %w", ci.ErrInvalid)
	}
	for until := time.Now().Add(machineWait); ; {
		s, err := d.scope(ctx, l)
		if err != nil {
			return ci.Machine{}, fmt.Errorf("machine for task %s: %w", l.Task, err)
		}
		m, err := d.cfg.Machines.Claim(ctx, l.Task, l.Epoch, s.project, s.trust, need)
		switch {
		case errors.Is(err, ci.ErrConflict) && d.leases.Check(l) == nil:
			// The lease holds: it is the machine that is no more.
			return ci.Machine{}, fmt.Errorf("machine for task %s: %s: %w", l.Task, strings.TrimSuffix(err.Error(), ": "+ci.ErrConflict.Error()), ci.ErrNotFound)
		case err != nil || m.Ready || time.Now().After(until):
			return m, err
		}
		select {
		case <-ctx.Done():
			return ci.Machine{}, fmt.Errorf("machine for task %s: %w", l.Task, ctx.Err())
		case <-time.After(machineLook):
		}
	}
}

// release ends the machine of a task that has ended. What goes wrong is set
// right by the pool, which asks for itself whether tasks still run.
func (d *Door) release(ctx context.Context, l ci.Lease) {
	if d.cfg.Machines == nil {
		return
	}
	if err := d.cfg.Machines.Release(context.WithoutCancel(ctx), l.Task, l.Epoch); err != nil && !errors.Is(err, ci.ErrConflict) {
		d.log.Warn("release machine", "task", l.Task, "err", err)
	}
}

func (x *exchange) machine() error {
	var need ci.MachineNeed
	if err := x.decode(maxSmall, &need); err != nil {
		return err
	}
	m, err := x.d.Machine(x.r.Context(), x.lease, need)
	if err != nil {
		return err
	}
	return x.answer(m)
}

// Machine is [Door.Machine].
func (c *Client) Machine(ctx context.Context, l ci.Lease, need ci.MachineNeed) (ci.Machine, error) {
	data, err := json.Marshal(need)
	if err != nil {
		return ci.Machine{}, fmt.Errorf("machine: %w: %w", err, ci.ErrInvalid)
	}
	var m ci.Machine
	err = c.call(ctx, l, http.MethodPost, "machine", nil, data, &m)
	return m, err
}
