package ci_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// epochZero is when the tests' clocks begin.
var epochZero = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// alice and bob press buttons in the tests.
var (
	alice = ci.Actor{ID: "1", Kind: ci.ActorUser, Login: "alice"}
	bob   = ci.Actor{ID: "2", Kind: ci.ActorUser, Login: "bob"}
)

// planned reads a workflow from lines of "name[!type][*parallelism]: required
// required=status,status", the shortest way to write a graph in a test.
func planned(lines ...string) ci.PlannedWorkflow {
	p := ci.PlannedWorkflow{Name: "main"}
	for _, line := range lines {
		head, tail, _ := strings.Cut(line, ":")
		var j ci.PlannedJob
		head, parallel, _ := strings.Cut(head, "*")
		_, _ = fmt.Sscan(parallel, &j.Parallelism)
		name, typ, _ := strings.Cut(head, "!")
		j.Name, j.Type = name, ci.JobType(typ)
		for _, word := range strings.Fields(tail) {
			required, statuses, _ := strings.Cut(word, "=")
			r := ci.Requirement{Job: required}
			for _, s := range strings.FieldsFunc(statuses, func(r rune) bool { return r == ',' }) {
				r.Statuses = append(r.Statuses, ci.Status(s))
			}
			j.Requires = append(j.Requires, r)
		}
		p.Jobs = append(p.Jobs, j)
	}
	return p
}

// A flow drives one workflow and checks after every step what must always
// hold: an error changes nothing, a change without events changes nothing
// (a store would not write it), and the events alone tell the statuses.
type flow struct {
	t   require.TestingT
	w   ci.Workflow
	now time.Time
	// told are the statuses as the events told them, by attempt.
	told     map[ci.JobID]ci.Status
	toldFlow ci.Status
	queued   map[ci.JobID]int // how often JobQueued was told
	events   []ci.Event
	tasks    []ci.TaskID // all slices of queued jobs, in order
}

// newFlow starts a workflow of the plan.
func newFlow(t require.TestingT, plan ci.PlannedWorkflow) *flow {
	p := ci.Pipeline{ID: "pipeline", Number: 1, Trigger: ci.Trigger{Project: "project", Branch: "main", Revision: "r"}}
	w, events := ci.NewWorkflow(p, "acme", plan, alice, epochZero)
	return openFlow(t, w, events)
}

// openFlow takes up a workflow that was just made.
func openFlow(t require.TestingT, w ci.Workflow, events []ci.Event) *flow {
	f := &flow{
		t: t, w: w, now: epochZero, told: map[ci.JobID]ci.Status{},
		queued: map[ci.JobID]int{},
	}
	require.NotEmpty(t, events)
	require.Equal(t, ci.WorkflowStarted, events[0].Kind, "first event")
	for _, j := range w.Jobs {
		f.told[j.ID] = ci.Blocked
		if j.Kept {
			f.told[j.ID] = j.Status
		}
	}
	f.hear(events)
	return f
}

// do applies op to the workflow and checks the laws. It returns what op did.
func (f *flow) do(op func(*ci.Workflow, time.Time) ([]ci.Event, error)) ([]ci.Event, error) {
	f.now = f.now.Add(time.Second)
	before := snapshot(f.w)
	events, err := op(&f.w, f.now)
	if err != nil {
		require.Empty(f.t, events, "events with an error")
	}
	if len(events) == 0 {
		if !equal(before, f.w) {
			require.Equal(f.t, before, f.w, "changed without an event (error: %v)", err)
		}
		return nil, err
	}
	f.hear(events)
	return events, nil
}

// hear follows the events as a page would and compares with the state.
func (f *flow) hear(events []ci.Event) {
	for _, e := range events {
		require.Equal(f.t, f.w.ID, e.Workflow)
		require.Equal(f.t, f.w.Pipeline, e.Pipeline)
		require.Equal(f.t, f.w.Project, e.Project)
		require.False(f.t, e.Time.IsZero(), "event without a time")
		switch e.Kind {
		case ci.WorkflowStarted, ci.WorkflowChanged, ci.WorkflowEnded:
			require.Equal(f.t, e.Kind == ci.WorkflowEnded, e.Status.Ended(), "%s with status %s", e.Kind, e.Status)
			f.toldFlow = e.Status
		case ci.JobQueued:
			f.queued[e.Job]++
			require.Equal(f.t, 1, f.queued[e.Job], "job %s queued twice", e.Name)
			require.NotNil(f.t, e.Task)
			require.Equal(f.t, e.Job.Task(0), e.Task.ID)
			for i := range e.Task.Total {
				f.tasks = append(f.tasks, e.Job.Task(i))
			}
			f.told[e.Job] = e.Status
		case ci.JobHeld, ci.JobApproved, ci.JobStarted, ci.JobRequeued, ci.JobEnded, ci.JobRetried:
			if e.Kind == ci.JobEnded {
				require.True(f.t, e.Status.Ended(), "%s ended as %s", e.Name, e.Status)
			}
			f.told[e.Job] = e.Status
		}
	}
	f.events = append(f.events, events...)
	require.Equal(f.t, f.toldFlow, f.w.Status, "workflow status as told and as kept")
	for i := range f.w.Jobs {
		j := &f.w.Jobs[i]
		told := f.told[j.ID]
		if told == ci.NotRun && j.Status == ci.Blocked {
			continue // waits again after a retry
		}
		require.Equal(f.t, told, j.Status, "status of %s as told and as kept", j.Name)
	}
}

// snapshot returns a copy that shares nothing which an operation may write.
func snapshot(w ci.Workflow) ci.Workflow {
	w.Jobs, w.Past = slices.Clone(w.Jobs), slices.Clone(w.Past)
	for i := range w.Jobs {
		w.Jobs[i].Tasks = slices.Clone(w.Jobs[i].Tasks)
	}
	return w
}

// equal compares two workflows with the same jobs quickly.
func equal(a, b ci.Workflow) bool {
	return a.Status == b.Status && a.Canceled == b.Canceled && a.Stopped.Equal(b.Stopped) &&
		len(a.Past) == len(b.Past) && slices.EqualFunc(a.Jobs, b.Jobs, func(x, y ci.Job) bool {
		return x.ID == y.ID && x.Status == y.Status && x.Reason == y.Reason &&
			x.Started.Equal(y.Started) && x.Stopped.Equal(y.Stopped) && x.Queued.Equal(y.Queued) &&
			x.Approved == y.Approved && slices.Equal(x.Tasks, y.Tasks)
	})
}

// report tells the workflow what became of slice index of the named job.
func (f *flow) report(name string, index int, epoch int64, s ci.Status) error {
	j := f.w.JobNamed(name)
	require.NotNil(f.t, j, "job %s", name)
	_, err := f.do(func(w *ci.Workflow, now time.Time) ([]ci.Event, error) {
		return w.Report(ci.Report{Workflow: w.ID, Task: j.ID.Task(index), Epoch: epoch, Status: s}, now)
	})
	return err
}

// end runs all slices of the named job to the same end.
func (f *flow) end(name string, s ci.Status) {
	j := f.w.JobNamed(name)
	require.NotNil(f.t, j, "job %s", name)
	require.Equal(f.t, ci.Queued, j.Status, "job %s", name)
	for i := range j.Tasks {
		require.NoError(f.t, f.report(name, i, 1, ci.Running))
		require.NoError(f.t, f.report(name, i, 1, s))
	}
}

func (f *flow) approve(name string, by ci.Actor) error {
	_, err := f.do(func(w *ci.Workflow, now time.Time) ([]ci.Event, error) {
		return w.Approve(w.JobNamed(name).ID, by, now)
	})
	return err
}

func (f *flow) cancelJob(name string, by ci.Actor) error {
	_, err := f.do(func(w *ci.Workflow, now time.Time) ([]ci.Event, error) {
		return w.CancelJob(w.JobNamed(name).ID, by, now)
	})
	return err
}

func (f *flow) cancel(by ci.Actor, reason string) error {
	_, err := f.do(func(w *ci.Workflow, now time.Time) ([]ci.Event, error) {
		return w.Cancel(by, reason, now)
	})
	return err
}

func (f *flow) retry(r ci.Rerun) error {
	_, err := f.do(func(w *ci.Workflow, now time.Time) ([]ci.Event, error) {
		return w.Retry(r, bob, now)
	})
	return err
}

// rerun starts the workflow that repeats this one.
func (f *flow) rerun(r ci.Rerun) (*flow, error) {
	before := snapshot(f.w)
	n, events, err := f.w.Rerun(r, bob, f.now)
	require.True(f.t, equal(before, f.w), "rerun changed the old workflow")
	if err != nil {
		require.Empty(f.t, events)
		return nil, err
	}
	return openFlow(f.t, n, events), nil
}

// ids returns the identities of the named jobs.
func (f *flow) ids(names ...string) []ci.JobID {
	var ids []ci.JobID
	for _, n := range names {
		ids = append(ids, f.w.JobNamed(n).ID)
	}
	return ids
}

// statuses returns "name=status" of all jobs, in order.
func (f *flow) statuses() string {
	var all []string
	for _, j := range f.w.Jobs {
		all = append(all, j.Name+"="+string(j.Status))
	}
	return strings.Join(all, " ")
}
