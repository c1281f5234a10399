package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Explain says where a task is and why: its reason, its position and predicted
// start, each hop and the time in it, and what is wrong, if something is. The
// actor must be allowed to read its project, or be an operator. A task that was never queued is
// [ci.ErrNotFound].
func (d *Desk) Explain(ctx context.Context, task ci.TaskID, by ci.Actor) (ci.Explanation, error) {
	x, err := d.explain(ctx, task, by)
	if err != nil {
		return ci.Explanation{}, fmt.Errorf("explain task %.100s: %w", task, err)
	}
	return x, nil
}

func (d *Desk) explain(ctx context.Context, task ci.TaskID, by ci.Actor) (x ci.Explanation, err error) {
	f := Facts{Now: time.Now()}
	// In this order: a task that was queued before the last event was read, and
	// that the queue does not know although it has taken in that event, was
	// lost, or has ended. The records say which.
	before, _, err := d.recorded(ctx, task, by)
	if err != nil {
		return x, err
	}
	f.Before = before.state.Status
	if f.LastEvent, err = d.read.LastEvent(ctx); err != nil {
		return x, err
	}
	f.State = d.queue.State()
	f.Trace, f.Known = d.queue.Trace(task)
	t, p, err := d.recorded(ctx, task, by)
	if err != nil {
		return x, err
	}
	f.Status = t.state.Status
	if !f.Known {
		if t.job.Queued.IsZero() {
			return x, fmt.Errorf("its job is %s and was not queued yet: %w", t.job.Status, ci.ErrConflict)
		}
		f.Trace = t.trace()
	}
	if f.Why, err = d.why(ctx, task, f); err != nil {
		return x, err
	}
	f.Steps, err = d.read.Steps(ctx, task, f.Trace.Epoch)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return x, err
	}
	if f.Known && f.Trace.State == "running" && f.Trace.Claimed.IsZero() {
		f.Agent = d.lastWords(ctx, f.Trace)
	}
	x = ci.Explanation{Trace: f.Trace, Why: f.Why, Hops: Hops(f.Trace, f.Steps, f.Now), Diagnosis: Diagnose(f), BuildURL: d.cfg.JobURL(p, t.job.Number)}
	if f.Why.Code == "capacity" || f.Why.Code == "reserved" {
		x.Advice = f.State.Advice
	}
	if x.Diagnosis != nil && x.Diagnosis.Code == LostBetweenDispatchers {
		if d.queue.Adopt(t.task()) {
			x.Diagnosis.Evidence = append(x.Diagnosis.Evidence, "it got a new ticket just now")
		}
	}
	return x, nil
}

// A recorded task is one as its workflow knows it.
type recorded struct {
	flow  ci.Workflow
	job   ci.Job
	index int
	state ci.TaskState
	repo  string
}

func (d *Desk) recorded(ctx context.Context, task ci.TaskID, by ci.Actor) (r recorded, p ci.Project, err error) {
	job, index, ok := task.Split()
	if !ok {
		return r, p, fmt.Errorf("it is no task, which looks like JOB.0: %w", ci.ErrInvalid)
	}
	id, err := d.read.JobWorkflow(ctx, job)
	if err != nil {
		return r, p, err
	}
	if r.flow, err = d.read.Workflow(ctx, id); err != nil {
		return r, p, err
	}
	if p, err = d.read.Project(ctx, r.flow.Project); err == nil {
		err = d.cfg.May(ctx, by, p, false)
		if hidden(err) && d.cfg.Operator(ctx, by) == nil {
			err = nil // who sees all hand-outs may know why they wait
		}
	}
	if err != nil {
		return r, p, err
	}
	j := r.flow.Attempt(job)
	if j == nil || index >= max(len(j.Tasks), 1) {
		return r, p, ci.ErrNotFound
	}
	r.job, r.index, r.repo = *j, index, p.Repo
	if index < len(j.Tasks) {
		r.state = j.Tasks[index]
	}
	return r, p, nil
}

// task returns the task as its event had it.
func (r recorded) task() ci.Task {
	return ci.Task{
		Job: r.job.ID, Name: r.job.Name, Number: r.job.Number, Workflow: r.flow.ID, Pipeline: r.flow.Pipeline,
		Project: r.flow.Project, Org: r.flow.Org, Repo: r.repo, Total: max(r.job.Parallelism, 1), Class: r.job.Class,
		Executor: r.job.Executor, Queued: r.job.Queued,
	}.Slice(r.index)
}

// trace is what the records still know of a task that the scheduler has
// forgotten, or never knew.
func (r recorded) trace() ci.Trace {
	t := ci.Trace{Task: r.task(), Epoch: r.state.Epoch, State: "pending", Node: r.state.Node, Reason: r.state.Reason, Queued: r.job.Queued}
	if r.state.Status.Ended() {
		t.State, t.Claimed, t.Ended = "dead", r.state.Started, r.state.Stopped
	}
	return t
}

// why is the scheduler's reason, or what is to be said of a task that it does
// not know.
func (d *Desk) why(ctx context.Context, task ci.TaskID, f Facts) (ci.Reason, error) {
	if f.Status.Ended() {
		text := "It has ended: " + string(f.Status)
		if f.Trace.Reason != "" && !strings.HasPrefix(f.Trace.Reason, string(f.Status)) {
			text += ", " + f.Trace.Reason
		}
		return ci.Reason{Code: "ended", Text: text + "."}, nil
	}
	if !f.State.Ready { // Explain would wait for it
		return ci.Reason{Code: "not_ready", Text: "The scheduler is not at work."}, nil
	}
	r, err := d.queue.Explain(ctx, task)
	if errors.Is(err, ci.ErrNotFound) {
		return ci.Reason{Code: "unknown", Text: "It is queued, and the scheduler does not know it."}, nil
	}
	return r, err
}

// lastWords returns the end of what an agent has written, "" if nobody knows.
func (d *Desk) lastWords(ctx context.Context, t ci.Trace) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := d.cluster.AgentOutput(ctx, t.Task, t.Epoch, true)
	if err != nil {
		return ""
	}
	defer r.Close()
	data, _ := io.ReadAll(io.LimitReader(r, 1<<20))
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(data[max(0, len(data)-2048):], nil))), "\n")
	return lines[len(lines)-1]
}
