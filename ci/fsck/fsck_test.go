package fsck_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/fsck"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// a town is an installation that a test damages.
type town struct {
	ci.Store
	ci.Records
	projects  []ci.Project
	pipelines map[ci.PipelineID]ci.Pipeline
	plans     map[ci.PipelineID]*ci.Plan
	flows     map[ci.PipelineID][]ci.Workflow
	eventLog  []ci.Event
	tickets   []ci.Ticket
	cursor    uint64
	steps     map[ci.TaskID][]ci.Step
	logs      map[ci.LogKey]string
	docs      []ci.Doc
	database  error
	audit     error
	looks     int // at the pipelines
}

func seq[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range all {
			if !yield(x, nil) {
				return
			}
		}
	}
}

func (t *town) Projects(context.Context) iter.Seq2[ci.Project, error] { return seq(t.projects) }
func (t *town) Pipelines(_ context.Context, q ci.Query) iter.Seq2[ci.Pipeline, error] {
	all := slices.SortedFunc(maps.Values(t.pipelines), func(a, b ci.Pipeline) int { return strings.Compare(string(a.ID), string(b.ID)) })
	first := t.projects[0].ID // all are its, whatever they say
	return seq(slices.DeleteFunc(all, func(ci.Pipeline) bool { return q.Project != first }))
}
func (t *town) Pipeline(_ context.Context, id ci.PipelineID) (ci.Pipeline, error) {
	t.looks++
	if p, ok := t.pipelines[id]; ok {
		return p, nil
	}
	return ci.Pipeline{}, ci.ErrNotFound
}
func (t *town) Plan(_ context.Context, id ci.PipelineID) (*ci.Plan, error) {
	if p := t.plans[id]; p != nil {
		return p, nil
	}
	return nil, ci.ErrNotFound
}
func (t *town) Workflows(_ context.Context, id ci.PipelineID) ([]ci.Workflow, error) {
	return t.flows[id], nil
}
func (t *town) Workflow(_ context.Context, id ci.WorkflowID) (ci.Workflow, error) {
	for _, all := range t.flows {
		for _, w := range all {
			if w.ID == id {
				return w, nil
			}
		}
	}
	return ci.Workflow{}, ci.ErrNotFound
}
func (t *town) JobWorkflow(_ context.Context, id ci.JobID) (ci.WorkflowID, error) {
	for _, all := range t.flows {
		for _, w := range all {
			if w.Attempt(id) != nil {
				return w.ID, nil
			}
		}
	}
	return "", ci.ErrNotFound
}
func (t *town) Events(_ context.Context, after uint64) iter.Seq2[ci.Event, error] {
	return seq(slices.DeleteFunc(slices.Clone(t.eventLog), func(e ci.Event) bool { return e.Seq <= after }))
}
func (t *town) Steps(_ context.Context, id ci.TaskID, _ int64) ([]ci.Step, error) {
	return t.steps[id], nil
}
func (t *town) listDocs(_ context.Context, q ci.DocQuery) iter.Seq2[ci.Doc, error] {
	return seq(t.docs)
}

// docsOf is the one method of ci.Docs that is asked.
type docsOf struct {
	anyDocs
	t *town
}

// anyDocs are the other methods.
type anyDocs interface {
	Doc(ctx context.Context, kind, id string) (ci.Doc, error)
	DocNamed(ctx context.Context, kind, scope, name string) (ci.Doc, error)
	DueDocs(ctx context.Context, kind string, now time.Time, limit int) iter.Seq2[ci.Doc, error]
	WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error)
}

func (d docsOf) Docs(ctx context.Context, q ci.DocQuery) iter.Seq2[ci.Doc, error] {
	return d.t.listDocs(ctx, q)
}

func (t *town) source() fsck.Source {
	return fsck.Source{
		Store: t, Records: t, Docs: docsOf{t: t}, Kinds: []string{"context"},
		Tickets: func(context.Context) iter.Seq2[ci.Ticket, error] { return seq(t.tickets) },
		Cursor:  func(context.Context) (uint64, error) { return t.cursor, nil },
		ReadLog: func(_ context.Context, k ci.LogKey) (io.ReadCloser, error) {
			text, ok := t.logs[k]
			if !ok {
				return nil, ci.ErrNotFound
			}
			return io.NopCloser(strings.NewReader(text)), nil
		},
		Database: func(context.Context) error { return t.database },
		Audit:    func(context.Context) error { return t.audit },
	}
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// newTown is an installation without a fault: one pipeline that has ended and
// one that runs.
func newTown() *town {
	at := func(s int) time.Time { return noon.Add(time.Duration(s-600) * time.Second) }
	done := func(s ci.Status, from, to int) []ci.TaskState {
		return []ci.TaskState{{Status: s, Epoch: 1, Started: at(from), Stopped: at(to)}}
	}
	plan := &ci.Plan{Workflows: []ci.PlannedWorkflow{{Name: "main"}}}
	t := &town{
		projects:  []ci.Project{{ID: "prj", Slug: "gh/acme/shop"}, {ID: "prj2", Slug: "gh/acme/other"}},
		pipelines: map[ci.PipelineID]ci.Pipeline{},
		plans:     map[ci.PipelineID]*ci.Plan{"p1": plan, "p2": plan},
		flows: map[ci.PipelineID][]ci.Workflow{
			"p1": {{ID: "w1", Pipeline: "p1", Status: ci.Success, Created: at(0), Stopped: at(9), Jobs: []ci.Job{
				{ID: "j1", Name: "build", Number: 1, Status: ci.Success, Parallelism: 1, Queued: at(0), Started: at(1), Stopped: at(4), Tasks: done(ci.Success, 1, 4)},
				{ID: "j2", Name: "test", Number: 2, Status: ci.Success, Parallelism: 1, Requires: []ci.Requirement{{Job: "build"}}, Queued: at(4), Started: at(5), Stopped: at(9), Tasks: done(ci.Success, 5, 9)},
			}}},
			"p2": {{ID: "w2", Pipeline: "p2", Status: ci.Running, Created: at(20), Jobs: []ci.Job{
				{ID: "j3", Name: "build", Number: 3, Status: ci.Running, Parallelism: 1, Queued: at(20), Started: at(21), Tasks: []ci.TaskState{{Status: ci.Running, Epoch: 2, Started: at(21)}}},
				{ID: "j4", Name: "test", Number: 4, Status: ci.Blocked, Parallelism: 1, Requires: []ci.Requirement{{Job: "build"}}},
			}}},
		},
		eventLog: []ci.Event{
			{Seq: 1, Time: at(0), Pipeline: "p1"}, {Seq: 2, Time: at(1), Pipeline: "p1", Workflow: "w1"}, {Seq: 3, Time: at(2), Pipeline: "p1", Workflow: "w1"},
			{Seq: 4, Time: at(20), Pipeline: "p2", Workflow: "w2"},
		},
		tickets: []ci.Ticket{{Task: ci.Task{ID: ci.JobID("j3").Task(0), Job: "j3"}, State: ci.TicketLeased, Epoch: 2, Worker: "a", Expires: noon.Add(time.Minute)}},
		cursor:  4,
		steps:   map[ci.TaskID][]ci.Step{},
		logs:    map[ci.LogKey]string{},
		docs: []ci.Doc{
			{Kind: "context", ID: "c1", Scope: "acme", Name: "deploy", Body: []byte(`{}`), Version: 1, Created: at(0), Updated: at(1)},
			{Kind: "context", ID: "c2", Scope: "acme", Name: "test", Body: []byte(`{}`), Version: 3, Created: at(0), Updated: at(1), Due: at(5)},
		},
	}
	for i, id := range []ci.PipelineID{"p1", "p2"} {
		t.pipelines[id] = ci.Pipeline{ID: id, Number: int64(i + 1), State: ci.PipelineReady, Created: at(0), Trigger: ci.Trigger{Project: "prj"}}
	}
	task := ci.JobID("j1").Task(0)
	t.steps[task] = []ci.Step{
		{Index: 0, Kind: ci.StepEnvironment, Status: ci.Success, Started: at(1), Stopped: at(1)},
		{Index: 1, Kind: ci.StepRun, Status: ci.Success, Started: at(1), Stopped: at(3), Bytes: 6, SHA256: hash("hello\n")},
	}
	t.logs[ci.LogKey{Task: task, Epoch: 1, Step: 1}] = "hello\n"
	return t
}

func examine(t testing.TB, x *town, cfg fsck.Config) []fsck.Finding {
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return noon }
	}
	if cfg.Again == 0 {
		cfg.Again = -1
	}
	var all []fsck.Finding
	for f, err := range fsck.Examine(t.Context(), x.source(), cfg) {
		require.NoError(t, err)
		require.NotEmpty(t, f.Object)
		require.NotEmpty(t, f.Text)
		require.NotEmpty(t, f.Fix)
		all = append(all, f)
	}
	return all
}

func pipeline(id ci.PipelineID, change func(*ci.Pipeline)) func(*town) {
	return func(t *town) { p := t.pipelines[id]; change(&p); t.pipelines[id] = p }
}
func flow(id ci.PipelineID, change func(*ci.Workflow)) func(*town) {
	return func(t *town) { change(&t.flows[id][0]) }
}
func job(id ci.PipelineID, n int, change func(*ci.Job)) func(*town) {
	return func(t *town) { change(&t.flows[id][0].Jobs[n]) }
}
func step(n int, change func(*ci.Step)) func(*town) {
	return func(t *town) { change(&t.steps[ci.JobID("j1").Task(0)][n]) }
}
func ticket(change func(*ci.Ticket)) func(*town) {
	return func(t *town) { change(&t.tickets[0]) }
}
func event(n int, change func(*ci.Event)) func(*town) {
	return func(t *town) { change(&t.eventLog[n]) }
}
func doc(n int, change func(*ci.Doc)) func(*town) {
	return func(t *town) { change(&t.docs[n]) }
}

// Sixty damages, each told by its own code.
func TestP30a_Mutations(t *testing.T) {
	logKey := ci.LogKey{Task: ci.JobID("j1").Task(0), Epoch: 1, Step: 1}
	damages := []struct {
		name   string
		code   fsck.Code
		damage func(*town)
	}{
		{"the database says so", fsck.Database, func(t *town) { t.database = errors.New("row 7 missing from index") }},
		{"the audit log says so", fsck.AuditChain, func(t *town) { t.audit = errors.New("line 7") }},
		{"an event is gone", fsck.EventGap, func(t *town) { t.eventLog = slices.Delete(t.eventLog, 1, 2) }},
		{"the first event is gone", fsck.EventGap, func(t *town) { t.eventLog = t.eventLog[1:] }},
		{"an event twice", fsck.EventGap, event(2, func(e *ci.Event) { e.Seq = 2 })},
		{"an event of no pipeline", fsck.EventOrphan, event(3, func(e *ci.Event) { e.Pipeline, e.Workflow = "p9", "" })},
		{"an event of no workflow", fsck.EventWorkflow, event(2, func(e *ci.Event) { e.Workflow = "w9" })},
		{"an event of another pipeline's workflow", fsck.EventWorkflow, event(2, func(e *ci.Event) { e.Workflow = "w2" })},
		{"an event of tomorrow", fsck.EventTime, event(3, func(e *ci.Event) { e.Time = noon.Add(24 * time.Hour) })},
		{"two projects of one slug", fsck.ProjectSlug, func(t *town) { t.projects[1].Slug = t.projects[0].Slug }},
		{"a project without a slug", fsck.ProjectSlug, func(t *town) { t.projects[1].Slug = "" }},
		{"a pipeline's state", fsck.PipelineState, pipeline("p1", func(p *ci.Pipeline) { p.State = "done" })},
		{"a plan is gone", fsck.PipelinePlan, func(t *town) { delete(t.plans, "p1") }},
		{"two pipelines of one number", fsck.PipelineNumber, pipeline("p2", func(p *ci.Pipeline) { p.Number = 1 })},
		{"a pipeline without a number", fsck.PipelineNumber, pipeline("p2", func(p *ci.Pipeline) { p.Number = 0 })},
		{"workflows are gone", fsck.PipelineEmpty, func(t *town) { t.flows["p1"] = nil; t.eventLog = t.eventLog[:1] }},
		{"an error without a reason", fsck.PipelineErrors, pipeline("p1", func(p *ci.Pipeline) { p.State = ci.PipelineError })},
		{"a pipeline of no project", fsck.PipelineProject, pipeline("p1", func(p *ci.Pipeline) { p.Trigger.Project = "prj9" })},
		{"never compiled", fsck.PipelineStuck, pipeline("p1", func(p *ci.Pipeline) { p.State, p.Created = ci.PipelinePending, noon.Add(-2*time.Hour) })},
		{"a workflow's status", fsck.WorkflowStatus, flow("p1", func(w *ci.Workflow) { w.Status = "done" })},
		{"a workflow that waits like a job", fsck.WorkflowStatus, flow("p2", func(w *ci.Workflow) { w.Status = ci.Queued })},
		{"goes on without jobs to run", fsck.WorkflowOpen, flow("p1", func(w *ci.Workflow) { w.Status, w.Stopped = ci.Running, time.Time{} })},
		{"ended before its jobs", fsck.WorkflowClosed, flow("p2", func(w *ci.Workflow) { w.Status, w.Stopped = ci.Canceled, noon })},
		{"failed without a failure", fsck.WorkflowOutcome, flow("p1", func(w *ci.Workflow) { w.Status = ci.Failed })},
		{"success with a failure", fsck.WorkflowOutcome, job("p1", 1, func(j *ci.Job) { j.Status, j.Tasks[0].Status = ci.Failed, ci.Failed })},
		{"ended without an end", fsck.WorkflowStopped, flow("p1", func(w *ci.Workflow) { w.Stopped = time.Time{} })},
		{"goes on with an end", fsck.WorkflowStopped, flow("p2", func(w *ci.Workflow) { w.Stopped = noon })},
		{"another parent", fsck.WorkflowParent, flow("p1", func(w *ci.Workflow) { w.Pipeline = "p2" })},
		{"no jobs", fsck.WorkflowEmpty, flow("p1", func(w *ci.Workflow) { w.Jobs = nil })},
		{"ended before it began", fsck.WorkflowTimes, flow("p1", func(w *ci.Workflow) { w.Stopped = w.Created.Add(-time.Second) })},
		{"a job's status", fsck.JobStatus, job("p1", 1, func(j *ci.Job) { j.Status = "green" })},
		{"a job that is failing", fsck.JobStatus, job("p1", 1, func(j *ci.Job) { j.Status = ci.Failing })},
		{"requires nobody", fsck.JobRequires, job("p1", 1, func(j *ci.Job) { j.Requires[0].Job = "lint" })},
		{"began too early", fsck.JobEarly, job("p2", 1, func(j *ci.Job) { j.Status = ci.Success })},
		{"began too early, queued", fsck.JobEarly, job("p2", 1, func(j *ci.Job) { j.Status = ci.OnHold })},
		{"waits for nothing", fsck.JobLate, job("p2", 1, func(j *ci.Job) { j.Requires = nil })},
		{"a task too many", fsck.JobTasks, job("p1", 0, func(j *ci.Job) { j.Tasks = append(j.Tasks, j.Tasks[0]) })},
		{"a task too few", fsck.JobTasks, job("p1", 0, func(j *ci.Job) { j.Parallelism = 2 })},
		{"success with a bad task", fsck.JobOutcome, job("p1", 0, func(j *ci.Job) { j.Tasks[0].Status = ci.Failed })},
		{"failed with good tasks", fsck.JobOutcome, job("p1", 0, func(j *ci.Job) { j.Status = ci.Failed })},
		{"goes on with ended tasks", fsck.JobOutcome, job("p2", 0, func(j *ci.Job) { j.Tasks[0].Status = ci.Success })},
		{"began before it was queued", fsck.JobTimes, job("p1", 0, func(j *ci.Job) { j.Queued = noon })},
		{"ended before it began, job", fsck.JobTimes, job("p1", 0, func(j *ci.Job) { j.Stopped = j.Started.Add(-time.Second) })},
		{"two jobs of one number", fsck.JobNumber, job("p1", 1, func(j *ci.Job) { j.Number = 1 })},
		{"a job without a number", fsck.JobNumber, job("p1", 1, func(j *ci.Job) { j.Number = 0 })},
		{"one job twice", fsck.JobTwice, job("p1", 1, func(j *ci.Job) { j.ID = "j1" })},
		{"two jobs of one name", fsck.JobTwice, job("p2", 1, func(j *ci.Job) { j.Name = "build" })},
		{"runs without a ticket", fsck.JobTicket, func(t *town) { t.tickets = nil }},
		{"requires itself", fsck.JobCycle, job("p2", 0, func(j *ci.Job) { j.Requires = []ci.Requirement{{Job: "test"}} })},
		{"a task's status", fsck.TaskStatus, job("p1", 0, func(j *ci.Job) { j.Tasks[0].Status = "x" })},
		{"ran without a hand-out", fsck.TaskEpoch, job("p1", 0, func(j *ci.Job) { j.Tasks[0].Epoch = 0 })},
		{"a ticket of nobody", fsck.TicketOrphan, ticket(func(t *ci.Ticket) { t.Task.ID, t.Task.Job = "j9.0", "j9" })},
		{"a ticket of an ended task", fsck.TicketEnded, ticket(func(t *ci.Ticket) { t.Task.ID, t.Task.Job, t.State = ci.JobID("j1").Task(0), "j1", ci.TicketWaiting })},
		{"an epoch went back", fsck.TicketEpoch, ticket(func(t *ci.Ticket) { t.Epoch = 1 })},
		{"a lease of nobody", fsck.TicketLease, ticket(func(t *ci.Ticket) { t.Worker = "" })},
		{"a lease for ever", fsck.TicketLease, ticket(func(t *ci.Ticket) { t.Expires = time.Time{} })},
		{"a ticket's state", fsck.TicketState, ticket(func(t *ci.Ticket) { t.State = "x" })},
		{"a step is gone", fsck.StepGap, func(t *town) { k := ci.JobID("j1").Task(0); t.steps[k] = t.steps[k][1:] }},
		{"a step runs on", fsck.StepRunning, step(1, func(s *ci.Step) { s.Status, s.Stopped = ci.Running, time.Time{} })},
		{"a step ended before it began", fsck.StepTimes, step(1, func(s *ci.Step) { s.Stopped = s.Started.Add(-time.Second) })},
		{"a step's status", fsck.StepStatus, step(1, func(s *ci.Step) { s.Status = "x" })},
		{"output is cut", fsck.LogLength, func(t *town) { t.logs[logKey] = "hel" }},
		{"output is longer", fsck.LogLength, func(t *town) { t.logs[logKey] += "x" }},
		{"output is another", fsck.LogHash, func(t *town) { t.logs[logKey] = "hullo\n" }},
		{"output is gone", fsck.LogUnreadable, func(t *town) { delete(t.logs, logKey) }},
		{"a document is no JSON", fsck.DocBody, doc(0, func(d *ci.Doc) { d.Body = []byte("{") })},
		{"a document without a version", fsck.DocVersion, doc(0, func(d *ci.Doc) { d.Version = 0 })},
		{"a document of another kind", fsck.DocVersion, doc(0, func(d *ci.Doc) { d.Kind = "x" })},
		{"a document that nobody looks at", fsck.DocOverdue, doc(1, func(d *ci.Doc) { d.Due = noon.AddDate(0, 0, -8) })},
		{"two documents of one name", fsck.DocTwice, doc(1, func(d *ci.Doc) { d.Name = "deploy" })},
		{"a document written before it was made", fsck.DocTimes, doc(1, func(d *ci.Doc) { d.Updated = d.Created.Add(-time.Second) })},
	}
	require.Empty(t, examine(t, newTown(), fsck.Config{}), "a town without a fault")
	require.GreaterOrEqual(t, len(damages), 60)
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			x := newTown()
			d.damage(x)
			var codes []fsck.Code
			for _, f := range examine(t, x, fsck.Config{}) {
				codes = append(codes, f.Code)
			}
			require.Contains(t, codes, d.code)
		})
	}
}

// What is only between two writes is no finding.
func TestP30_SecondLook(t *testing.T) {
	x := newTown()
	x.tickets[0].Epoch = 1
	var found []fsck.Finding
	src := x.source()
	looks := 0
	src.Tickets = func(context.Context) iter.Seq2[ci.Ticket, error] {
		looks++
		if looks > 2 { // after the first look at the queue
			x.tickets[0].Epoch = 2
		}
		return seq(x.tickets)
	}
	for f, err := range fsck.Examine(t.Context(), src, fsck.Config{Again: time.Millisecond, Now: func() time.Time { return noon }}) {
		require.NoError(t, err)
		found = append(found, f)
	}
	require.Empty(t, found)
	x = newTown()
	x.tickets[0].Epoch = 1
	require.Len(t, examine(t, x, fsck.Config{Again: time.Millisecond}), 1)
}

// A server that was killed behind a write has told its queue nothing of it yet;
// the next start will. While a server runs, that is none of its excuses.
func TestP30_KilledBehindAWrite(t *testing.T) {
	ended := ci.Ticket{Task: ci.Task{ID: ci.JobID("j1").Task(0), Job: "j1"}, State: ci.TicketLeased, Epoch: 1, Worker: "a", Expires: noon}
	waits := ended
	waits.State = ci.TicketWaiting
	online := fsck.Config{Again: time.Millisecond}
	for name, c := range map[string]struct {
		change func(*town)
		rest   int // findings
		runs   int
	}{
		"its agent told the end": {func(t *town) { t.tickets = append(t.tickets, ended) }, 0, 1},
		"it was canceled, and the end is unread": {func(t *town) {
			t.tickets = append(t.tickets, waits)
			t.eventLog[2].Kind, t.eventLog[2].Job, t.cursor = ci.JobEnded, "j1", 2
		}, 0, 0},
		"it was canceled long ago": {func(t *town) {
			t.tickets = append(t.tickets, waits)
			t.eventLog[2].Kind, t.eventLog[2].Job = ci.JobEnded, "j1"
		}, 1, 1},
		"it was queued, and that is unread": {func(t *town) {
			t.tickets = nil
			t.eventLog[3].Kind, t.eventLog[3].Job, t.cursor = ci.JobQueued, "j3", 3
		}, 0, 0},
		"it was queued long ago": {func(t *town) { t.tickets = nil; t.eventLog[3].Kind, t.eventLog[3].Job = ci.JobQueued, "j3" }, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTown()
			c.change(x)
			require.Len(t, examine(t, x, fsck.Config{}), c.rest)
			require.Len(t, examine(t, x, online), c.runs)
		})
	}
}

// A job that is queued while the examination runs is in the queue when it is
// looked at once more.
func TestP30_QueuedMeanwhile(t *testing.T) {
	x := newTown()
	src, looks := x.source(), 0
	src.Tickets = func(context.Context) iter.Seq2[ci.Ticket, error] {
		if looks++; looks == 1 {
			return seq([]ci.Ticket(nil))
		}
		return seq(x.tickets)
	}
	for f, err := range fsck.Examine(t.Context(), src, fsck.Config{Again: time.Millisecond, Now: func() time.Time { return noon }}) {
		require.NoError(t, err)
		t.Error(f)
	}
}

func ExampleExamine() {
	x := newTown()
	x.logs[ci.LogKey{Task: ci.JobID("j1").Task(0), Epoch: 1, Step: 1}] = "hel"
	for f, err := range fsck.Examine(context.Background(), x.source(), fsck.Config{Again: -1, Now: func() time.Time { return noon }}) {
		fmt.Println(f, err)
	}
	// Output: LOG01 step 1 of task j1.0: its output has 3 bytes, and its agent sent 6; restore the logs of a backup <nil>
}
