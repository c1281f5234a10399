package sqldb_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// TestLikeMemdb does the same random things to both databases and requires
// the same answers, and in the end the same contents.
func TestLikeMemdb(t *testing.T) {
	require.NoError(t, flag.Set("rapid.steps", "40"))
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		file := filepath.Join(dir, fmt.Sprint(n, ".db"))
		db, err := sqldb.Open(context.Background(), file, sqldb.Config{Volatile: true})
		require.NoError(t, err)
		defer func() {
			require.NoError(t, db.Close())
			require.NoError(t, os.Remove(file))
		}()
		m := &twins{T: t, mem: memdb.New(), sql: db, at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		m.begin(t)
		t.Repeat(map[string]func(*rapid.T){
			"project":  m.project,
			"create":   m.create,
			"start":    m.start,
			"report":   m.report,
			"report 2": m.report,
			"report 3": m.report,
			"cancel":   m.cancel,
			"retry":    m.retry,
			"rerun":    m.rerun,
			"ticket":   m.ticket,
			"remove":   m.remove,
			"step":     m.step,
			"tests":    m.tests,
			"listing":  m.listing,
			"timings":  m.timings,
			"negative": m.negative,
		})
		m.compareAll()
	})
}

// twins are the two databases and what is in them.
type twins struct {
	*rapid.T
	mem       *memdb.DB
	sql       *sqldb.DB
	at        time.Time
	ids       int
	pipelines []ci.PipelineID
	workflows []ci.WorkflowID
	tasks     []ci.Task
}

// text is what people and machines send.
var text = rapid.OneOf(rapid.SampledFrom([]string{"", "a", "b", "a\xffb", "nul\x00", "<&>\u2028", "ä"}), rapid.String())

func (m *twins) id() string { m.ids++; return fmt.Sprintf("id-%06d", m.ids) }

// now is a time in some zone that goes on by nanoseconds too.
func (m *twins) now() time.Time {
	m.at = m.at.Add(time.Duration(rapid.IntRange(1, 5_000_000_000).Draw(m.T, "pause")))
	return m.at.In(rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("far", 5400)}).Draw(m.T, "zone"))
}

// equal requires the same answer of both. Errors are the same when they are
// the same to a caller.
func (m *twins) equal(what string, a, b any, errA, errB error) {
	m.Helper()
	for _, class := range []error{ci.ErrNotFound, ci.ErrConflict, ci.ErrInvalid, ci.ErrDenied} {
		if errors.Is(errA, class) != errors.Is(errB, class) {
			m.Fatalf("%s: memdb says %v, sqldb says %v", what, errA, errB)
		}
	}
	if (errA == nil) != (errB == nil) {
		m.Fatalf("%s: memdb says %v, sqldb says %v", what, errA, errB)
	}
	zoned := cmp.Comparer(func(a, b time.Time) bool { return a == b })
	if diff := cmp.Diff(a, b, cmpopts.EquateEmpty(), zoned); diff != "" {
		m.Fatalf("%s: -memdb +sqldb\n%s", what, diff)
	}
}

func copied[T any](m *twins, v T) T {
	b, err := json.Marshal(v)
	require.NoError(m, err)
	var out T
	require.NoError(m, json.Unmarshal(b, &out))
	return out
}

func pick[T any](t *rapid.T, what string, some []T) (v T) {
	if len(some) == 0 {
		return v
	}
	return rapid.SampledFrom(some).Draw(t, what)
}

var projects = []ci.ProjectID{"p1", "p2"}

func (m *twins) project(t *rapid.T) {
	p := ci.Project{
		ID: rapid.SampledFrom(projects).Draw(t, "id"), Slug: rapid.SampledFrom([]string{"s1", "s2", "s3", ""}).Draw(t, "slug"),
		Org: text.Draw(t, "org"),
	}
	m.equal("put project", nil, nil, m.mem.PutProject(t.Context(), p), m.sql.PutProject(t.Context(), p))
}

// begin makes what the actions need to have something to work on.
func (m *twins) begin(t *rapid.T) {
	for i, id := range projects {
		p := ci.Project{ID: id, Slug: fmt.Sprint("s", i+1)}
		m.equal("put project", nil, nil, m.mem.PutProject(t.Context(), p), m.sql.PutProject(t.Context(), p))
	}
	for range 4 {
		m.create(t)
		m.start(t)
	}
	m.ticket(t)
}

func (m *twins) create(t *rapid.T) {
	at := m.now()
	p := ci.Pipeline{ID: ci.PipelineID(m.id()), State: ci.PipelinePending, Created: at, Updated: at, Trigger: ci.Trigger{
		Project: pick(t, "project", projects), Key: rapid.SampledFrom([]string{"", "", "k1", "k2", "\xff"}).Draw(t, "key"),
		Branch: rapid.SampledFrom([]string{"main", "dev", ""}).Draw(t, "branch"), Subject: text.Draw(t, "subject"),
		Parameters: map[string]any{text.Draw(t, "name"): rapid.SampledFrom([]any{
			"x", true, nil, 1, 1.5, int64(1<<53 + 1), []any{1, "y"}, map[string]any{"z": -7},
		}).Draw(t, "value")},
	}}
	e := ci.Event{Time: at, Kind: ci.PipelineCreated, Project: p.Trigger.Project, Pipeline: p.ID, Reason: text.Draw(t, "reason")}
	a, newA, errA := m.mem.Create(t.Context(), p, e)
	b, newB, errB := m.sql.Create(t.Context(), p, e)
	m.equal("create", a, b, errA, errB)
	m.equal("created", newA, newB, nil, nil)
	if newA {
		m.pipelines = append(m.pipelines, a.ID)
	}
}

// change starts workflows in both; make makes them once.
func (m *twins) change(id ci.PipelineID, make func(*ci.Pipeline) ([]ci.Workflow, []ci.Event, error)) {
	var in, out ci.Pipeline
	var workflows []ci.Workflow
	var events []ci.Event
	var refused error
	errA := m.mem.Start(m.Context(), id, func(p *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		in = *p
		workflows, events, refused = make(p)
		out = *p
		return copied(m, workflows), copied(m, events), refused
	})
	errB := m.sql.Start(m.Context(), id, func(p *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		m.equal("input of start", in, *p, nil, nil)
		*p = out
		return copied(m, workflows), copied(m, events), refused
	})
	m.equal("start", nil, nil, errA, errB)
	if errA == nil {
		for _, w := range workflows {
			m.workflows = append(m.workflows, w.ID)
		}
	}
}

func (m *twins) start(t *rapid.T) {
	m.change(pick(t, "pipeline", m.pipelines), func(p *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		p.State = rapid.SampledFrom([]ci.PipelineState{ci.PipelineReady, ci.PipelineReady, ci.PipelineError}).Draw(t, "state")
		if p.State == ci.PipelineError {
			p.Errors, p.Updated = []string{text.Draw(t, "error")}, m.now()
			return nil, []ci.Event{{Time: m.now(), Kind: ci.PipelineErrored, Pipeline: p.ID}}, nil
		}
		plan := ci.PlannedWorkflow{Name: "w"}
		for i := range rapid.IntRange(1, 4).Draw(t, "jobs") {
			j := ci.PlannedJob{Name: fmt.Sprint("j", i), Type: rapid.SampledFrom([]ci.JobType{ci.JobBuild, ci.JobBuild, ci.JobApproval, ci.JobNoOp}).Draw(t, "type")}
			j.Parallelism = rapid.IntRange(0, 2).Draw(t, "nodes")
			if i > 0 && rapid.Bool().Draw(t, "requires") {
				j.Requires = []ci.Requirement{{Job: fmt.Sprint("j", rapid.IntRange(0, i-1).Draw(t, "job"))}}
			}
			plan.Jobs = append(plan.Jobs, j)
		}
		p.Plan = &ci.Plan{Source: text.Draw(t, "source"), Workflows: []ci.PlannedWorkflow{plan}}
		w, events := ci.NewWorkflow(*p, "org", plan, ci.Actor{Login: text.Draw(t, "login")}, m.now())
		return []ci.Workflow{w}, events, nil
	})
}

// update changes a workflow in both.
func (m *twins) update(id ci.WorkflowID, change func(*ci.Workflow) ([]ci.Event, error)) {
	var in, out ci.Workflow
	var events []ci.Event
	var refused error
	errA := m.mem.Update(m.Context(), id, func(w *ci.Workflow) ([]ci.Event, error) {
		in = copied(m, *w)
		events, refused = change(w)
		out = copied(m, *w)
		return copied(m, events), refused
	})
	errB := m.sql.Update(m.Context(), id, func(w *ci.Workflow) ([]ci.Event, error) {
		m.equal("input of update", in, *w, nil, nil)
		*w = copied(m, out)
		return copied(m, events), refused
	})
	m.equal("update", nil, nil, errA, errB)
}

func (m *twins) report(t *rapid.T) {
	m.update(pick(t, "workflow", m.workflows), func(w *ci.Workflow) ([]ci.Event, error) {
		open := slices.DeleteFunc(slices.Clone(w.Jobs), func(j ci.Job) bool { return j.Status.Ended() || j.Status == ci.Blocked })
		j := pick(t, "job", append(open, w.Jobs[0]))
		if j.Status == ci.OnHold {
			return w.Approve(j.ID, ci.Actor{}, m.now())
		}
		return w.Report(ci.Report{
			Task: j.ID.Task(rapid.IntRange(0, 1).Draw(t, "slice")), Epoch: rapid.Int64Range(2, 3).Draw(t, "epoch"),
			Status: rapid.SampledFrom([]ci.Status{ci.Running, ci.Queued, ci.Success, ci.Success, ci.Failed}).Draw(t, "status"),
			Reason: text.Draw(t, "reason"), Node: "n",
		}, m.now())
	})
}

func (m *twins) cancel(t *rapid.T) {
	m.update(pick(t, "workflow", m.workflows), func(w *ci.Workflow) ([]ci.Event, error) {
		return w.CancelJob(pick(t, "job", w.Jobs).ID, ci.Actor{}, m.now())
	})
}

func (m *twins) retry(t *rapid.T) {
	m.update(pick(t, "workflow", m.workflows), func(w *ci.Workflow) ([]ci.Event, error) {
		return w.Retry(ci.Rerun{Jobs: []ci.JobID{pick(t, "job", w.Jobs).ID}}, ci.Actor{}, m.now())
	})
}

func (m *twins) rerun(t *rapid.T) {
	w, err := m.mem.Workflow(t.Context(), pick(t, "workflow", m.workflows))
	if err != nil {
		return
	}
	m.change(w.Pipeline, func(*ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		n, events, err := w.Rerun(ci.Rerun{FromFailed: rapid.Bool().Draw(t, "failed")}, ci.Actor{}, m.now())
		return []ci.Workflow{n}, events, err
	})
}

func (m *twins) ticket(t *rapid.T) {
	w, err := m.mem.Workflow(t.Context(), pick(t, "workflow", m.workflows))
	if err != nil {
		return
	}
	j := pick(t, "job", append(w.Past, w.Jobs...))
	task := ci.Task{Job: j.ID, Name: j.Name, Number: j.Number, Workflow: w.ID, Project: w.Project, Queued: m.now()}.
		Slice(rapid.IntRange(0, 1).Draw(t, "slice"))
	m.tasks = append(m.tasks, task)
	other := task.Slice(1 - task.Index)
	tickets := []ci.Ticket{
		{Task: task, State: ci.TicketLeased, Epoch: rapid.Int64Range(0, 3).Draw(t, "epoch"), Worker: "w\xff", Expires: m.now()},
		{Task: other, State: ci.TicketWaiting, Epoch: rapid.Int64Range(0, 3).Draw(t, "epoch")},
	}[:rapid.IntRange(0, 2).Draw(t, "tickets")]
	cursor := rapid.Uint64Range(0, 9).Draw(t, "cursor")
	m.equal("put tickets", nil, nil,
		m.mem.Backlog().Put(t.Context(), cursor, tickets...), m.sql.Backlog().Put(t.Context(), cursor, tickets...))
}

func (m *twins) remove(t *rapid.T) {
	id := pick(t, "task", m.tasks).ID
	m.equal("remove", nil, nil, m.mem.Backlog().Remove(t.Context(), id), m.sql.Backlog().Remove(t.Context(), id))
}

// lease is mostly one that is held.
func (m *twins) lease(t *rapid.T) ci.Lease {
	tickets, err := list(m.mem.Backlog().Open(t.Context()))
	require.NoError(t, err)
	if len(tickets) > 0 && rapid.IntRange(0, 4).Draw(t, "stale") > 0 {
		k := pick(t, "ticket", tickets)
		return ci.Lease{Task: k.Task.ID, Epoch: k.Epoch, Worker: k.Worker}
	}
	return ci.Lease{Task: pick(t, "task", m.tasks).ID, Epoch: rapid.Int64Range(0, 3).Draw(t, "epoch"), Worker: "w\xff"}
}

func (m *twins) step(t *rapid.T) {
	s := ci.Step{
		Index: rapid.IntRange(-1, 2).Draw(t, "index"), Command: text.Draw(t, "command"),
		Started: m.at.Truncate(10 * time.Second), // the same now and then
		Status:  rapid.SampledFrom([]ci.Status{ci.Running, ci.Running, ci.Success}).Draw(t, "status"),
	}
	l := m.lease(t)
	m.equal("put step", nil, nil, m.mem.PutStep(t.Context(), l, s), m.sql.PutStep(t.Context(), l, s))
}

func (m *twins) tests(t *rapid.T) {
	some := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) ci.Test {
		return ci.Test{
			Name: text.Draw(t, "test"), Result: rapid.SampledFrom([]string{"success", "failure", "error"}).Draw(t, "result"),
			Seconds: rapid.Float64().Draw(t, "seconds"),
		}
	}), 0, 3).Draw(t, "tests")
	l := m.lease(t)
	m.equal("put tests", nil, nil, m.mem.PutTests(t.Context(), l, some), m.sql.PutTests(t.Context(), l, some))
}

func (m *twins) listing(t *rapid.T) {
	q := ci.Query{
		Project: pick(t, "project", append(projects, "", "")), Branch: pick(t, "branch", []string{"", "", "main", "dev"}),
		State:  pick(t, "state", []ci.PipelineState{"", "", ci.PipelinePending, ci.PipelineReady, ci.PipelineError}),
		Before: pick(t, "before", append(m.pipelines, "", "", "none")), Limit: rapid.IntRange(-1, 5).Draw(t, "limit"),
	}
	a, errA := list(m.mem.Pipelines(t.Context(), q))
	b, errB := list(m.sql.Pipelines(t.Context(), q))
	m.equal("pipelines", a, b, errA, errB)
}

func list[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func (m *twins) timings(t *rapid.T) {
	p, job, branch := pick(t, "project", projects), fmt.Sprint("j", rapid.IntRange(0, 3).Draw(t, "job")), pick(t, "branch", []string{"", "main", "dev"})
	a, errA := m.mem.Timings(t.Context(), p, job, branch)
	b, errB := m.sql.Timings(t.Context(), p, job, branch)
	m.equal("timings", a, b, errA, errB)
}

// negative asks for and writes what is wrong.
func (m *twins) negative(t *rapid.T) {
	late := ci.Event{Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), Kind: ci.WorkflowChanged}
	m.update(pick(t, "workflow", m.workflows), func(w *ci.Workflow) ([]ci.Event, error) {
		switch rapid.IntRange(0, 2).Draw(t, "wrong") {
		case 0:
			w.ID += "x"
		case 1:
			w.Jobs = append(w.Jobs, w.Jobs[0])
		case 2:
			return nil, nil
		}
		return []ci.Event{{Kind: ci.WorkflowChanged}}, nil
	})
	if id := pick(t, "workflow", m.workflows); id != "" {
		change := func(*ci.Workflow) ([]ci.Event, error) { return []ci.Event{late}, nil }
		m.equal("late", nil, nil, m.mem.Update(t.Context(), id, change), m.sql.Update(t.Context(), id, change))
	}
}

// compareAll compares all that can be read.
func (m *twins) compareAll() {
	ctx := m.Context()
	events, errA := list(m.mem.Events(ctx, 0))
	b, errB := list(m.sql.Events(ctx, 0))
	m.equal("events", events, b, errA, errB)
	for _, p := range append(projects, "") {
		a, errA := list(m.mem.Open(ctx, p))
		b, errB := list(m.sql.Open(ctx, p))
		less := cmpopts.SortSlices(func(a, b ci.WorkflowID) bool { return a < b })
		m.equal("open", cmp.Diff(a, b, cmpopts.EquateEmpty(), less), "", errA, errB)
		for n := range int64(12) {
			aw, aj, errA := m.mem.JobByNumber(ctx, p, n)
			bw, bj, errB := m.sql.JobByNumber(ctx, p, n)
			m.equal("number", fmt.Sprint(aw, aj), fmt.Sprint(bw, bj), errA, errB)
		}
	}
	for _, id := range append(m.pipelines, "none") {
		a, errA := m.mem.Plan(ctx, id)
		b, errB := m.sql.Plan(ctx, id)
		m.equal("plan", a, b, errA, errB)
		wa, errA := m.mem.Workflows(ctx, id)
		wb, errB := m.sql.Workflows(ctx, id)
		m.equal("workflows", wa, wb, errA, errB)
		for _, w := range wa {
			for _, j := range append(w.Jobs, w.Past...) {
				a, errA := m.mem.JobWorkflow(ctx, j.ID)
				b, errB := m.sql.JobWorkflow(ctx, j.ID)
				m.equal("home", a, b, errA, errB)
				ta, errA := m.mem.Tests(ctx, j.ID)
				tb, errB := m.sql.Tests(ctx, j.ID)
				m.equal("tests", ta, tb, errA, errB)
			}
		}
	}
	for _, p := range projects {
		for j := range 4 {
			for _, branch := range []string{"", "main", "dev"} {
				a, errA := m.mem.Timings(ctx, p, fmt.Sprint("j", j), branch)
				b, errB := m.sql.Timings(ctx, p, fmt.Sprint("j", j), branch)
				m.equal("timings", a, b, errA, errB)
			}
		}
	}
	for _, task := range m.tasks {
		for epoch := range int64(4) {
			a, errA := m.mem.Steps(ctx, task.ID, epoch)
			b, errB := m.sql.Steps(ctx, task.ID, epoch)
			m.equal("steps", a, b, errA, errB)
		}
	}
	ta, errA := list(m.mem.Backlog().Open(ctx))
	tb, errB := list(m.sql.Backlog().Open(ctx))
	m.equal("tickets", ta, tb, errA, errB)
	ca, errA := m.mem.Backlog().Cursor(ctx)
	cb, errB := m.sql.Backlog().Cursor(ctx)
	m.equal("cursor", ca, cb, errA, errB)
}
