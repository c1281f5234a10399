package audit_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/ci"
)

// A past is a server in which things have happened.
type past struct{ events []ci.Event }

func (past) Project(context.Context, ci.ProjectID) (ci.Project, error) {
	return ci.Project{ID: "p1", Slug: "gh/acme/shop"}, nil
}

func (past) Pipeline(context.Context, ci.PipelineID) (ci.Pipeline, error) {
	return ci.Pipeline{ID: "l1", Number: 7, Trigger: ci.Trigger{Branch: "main", Actor: alice}}, nil
}

func (past) Workflow(_ context.Context, id ci.WorkflowID) (ci.Workflow, error) {
	w := ci.Workflow{ID: id, Name: "build", By: alice, Canceled: alice}
	if id == "w2" {
		w.RerunOf = "w1"
	}
	return w, nil
}

func (past) Plan(context.Context, ci.PipelineID) (*ci.Plan, error) {
	return &ci.Plan{Workflows: []ci.PlannedWorkflow{{Name: "build", Jobs: []ci.PlannedJob{{Name: "test", Contexts: []string{"prod", "npm"}}}}}}, nil
}

func (p past) follow(stop func()) func(context.Context, uint64) iter.Seq2[ci.Event, error] {
	return func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
		return func(yield func(ci.Event, error) bool) {
			for _, e := range p.events {
				if e.Seq > after && !yield(e, nil) {
					return
				}
			}
			stop()
			<-ctx.Done()
		}
	}
}

func TestAUD10_AUD11_FollowsPipelines(t *testing.T) {
	var p past
	add := func(kind ci.EventKind, workflow ci.WorkflowID, job ci.JobID, status ci.Status) {
		e := ci.Event{Seq: uint64(len(p.events) + 1), Time: noon, Kind: kind, Project: "p1", Pipeline: "l1", Workflow: workflow, Job: job, Status: status}
		if job != "" {
			e.Name, e.Number = "test", 12
		}
		p.events = append(p.events, e)
	}
	add(ci.PipelineCreated, "", "", "")
	add(ci.PipelinePlanned, "", "", "")
	add(ci.WorkflowStarted, "w1", "", ci.Running)
	add(ci.JobQueued, "w1", "j1", ci.Queued)
	add(ci.JobStarted, "w1", "j1", ci.Running)
	add(ci.StepStarted, "w1", "j1", "")
	add(ci.JobEnded, "w1", "j1", ci.Success)
	add(ci.JobHeld, "w1", "j2", ci.OnHold)
	add(ci.JobApproved, "w1", "j2", ci.Success)
	add(ci.WorkflowEnded, "w1", "", ci.Success)
	add(ci.WorkflowStarted, "w2", "", ci.Running)
	add(ci.JobRetried, "w2", "j3", ci.Queued)
	add(ci.WorkflowEnded, "w2", "", ci.Canceled)
	add(ci.PipelineErrored, "", "", "")
	w := newWorld(t, audit.Config{})
	for range 3 { // from the start, and again from where it was
		running, stop := context.WithCancel(ctx)
		require.NoError(t, w.Follow(running, p, p.follow(stop)))
	}
	require.NoError(t, w.Seal(ctx, noon))
	var actions []string
	for _, l := range w.lines(t) {
		e := event(t, l.Text)
		actions = append(actions, e.Action)
		require.Equal(t, "alice", e.Actor.Name, e.Action)
		require.Equal(t, audit.Party{ID: "p1", Type: "project", Name: "gh/acme/shop"}, e.Target)
		if e.Action == "workflow.job.finish" {
			require.JSONEq(t, `{"job":{"id":"j1","contexts":["prod","npm"],"job_name":"test","job_status":"success","number":"12"},
				"workflow":{"id":"w1","name":"build","vcs_branch":"main"},"pipeline":{"id":"l1"}}`, string(e.Payload))
		}
	}
	require.Equal(t, []string{
		"rondo.pipeline.create", "workflow.start", "workflow.job.scheduled", "workflow.job.start", "workflow.job.finish",
		"rondo.workflow.job.hold", "workflow.job.approve", "rondo.workflow.finish", "workflow.retry", "workflow.retry", "rondo.workflow.cancel", "workflow.error",
	}, actions)
	conform(t, w.lines(t))
}

// conform checks lines by the schema of their actions.
func conform(t *testing.T, lines []audit.Line) {
	t.Helper()
	for _, l := range lines {
		e := event(t, l.Text)
		a, ok := audit.Find(e.Action)
		require.True(t, ok, e.Action)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(audit.Schema(a)))
		require.NoError(t, err)
		c := jsonschema.NewCompiler()
		require.NoError(t, c.AddResource("a.json", doc))
		s, err := c.Compile("a.json")
		require.NoError(t, err)
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(l.Text))
		require.NoError(t, err)
		require.NoError(t, s.Validate(v), "%s", l.Text)
	}
}

// Every action of the catalogue can be written with all that its payload has,
// and is as its schema says.
func TestAUD12_AUD13_AUD14_Schemas(t *testing.T) {
	w := newWorld(t, audit.Config{})
	documented := 0
	for _, a := range audit.Catalogue() {
		target := map[string]string{"type": a.Target, "id": "1"}
		for _, f := range a.Payload {
			target[f] = "x,y"
		}
		require.NoError(t, w.Record(ctx, ci.Act{Action: a.Name, Success: true, Target: target}), a.Name)
		if !a.Ours {
			documented++
		}
	}
	require.Equal(t, 24, documented)
	require.NoError(t, w.Seal(ctx, noon))
	lines := w.lines(t)
	require.Len(t, lines, len(audit.Catalogue()))
	conform(t, lines)
	require.Contains(t, audit.Table(), "| `context.secrets.accessed` |")
}

func TestAUD04_ExportRoundTrip(t *testing.T) {
	w := newWorld(t, audit.Config{})
	a := act(1)
	a.Target["name"] = "=HYPERLINK(\"x\")\r\n🎉, \"quoted\" <b>"
	a.Actor.Login = "@SUM(1)"
	require.NoError(t, w.Record(ctx, a))
	require.NoError(t, w.Seal(ctx, noon))
	line := event(t, w.lines(t)[0].Text)
	for _, format := range []string{audit.CSV, audit.SafeCSV} {
		var out bytes.Buffer
		require.NoError(t, w.Export(ctx, &out, format, ci.AuditQuery{}, alice))
		rows, err := csv.NewReader(&out).ReadAll()
		require.NoError(t, err)
		require.Equal(t, "id,version,action,success,occurred_at,actor,target,scope,payload,metadata,request", strings.Join(rows[0], ","))
		require.Equal(t, line.ID, rows[1][0])
		require.Equal(t, "2026-11-24T12:10:01Z", rows[1][4])
		var target audit.Party
		require.NoError(t, json.Unmarshal([]byte(rows[1][6]), &target))
		require.Equal(t, line.Target, target)
		for _, c := range slices.Concat(rows[1:]...) {
			require.False(t, strings.ContainsAny(c[:min(len(c), 1)], "=+-@\t\r"), c)
		}
	}
	require.ErrorIs(t, w.Export(ctx, &bytes.Buffer{}, "xls", ci.AuditQuery{}, alice), ci.ErrInvalid)
}

// A chapter's documents that people change are on record with the change, and
// what it writes by itself is not.
func TestAUD07_WatchedDocuments(t *testing.T) {
	w := newWorld(t, audit.Config{})
	docs := w.Docs(w.db)
	asked := ci.WithRequest(ctx, ci.Request{ID: "r", Actor: alice})
	d := ci.Doc{Kind: "webhook", ID: "h1", Scope: "p1"}
	kept, err := docs.WriteDocs(asked, ci.DocChange{Doc: d})
	require.NoError(t, err)
	require.Len(t, kept, 1)
	_, err = docs.WriteDocs(ctx, ci.DocChange{Doc: kept[0]})
	require.NoError(t, err)
	_, err = docs.WriteDocs(asked, ci.DocChange{Doc: kept[0]})
	require.ErrorIs(t, err, ci.ErrConflict, "and then nothing is on record")
	d.Version = ci.AnyVersion
	_, err = docs.WriteDocs(asked, ci.DocChange{Doc: d}, ci.DocChange{Doc: ci.Doc{Kind: "webhook-delivery", ID: "m"}})
	require.NoError(t, err)
	_, err = docs.WriteDocs(asked, ci.DocChange{Doc: d, Delete: true})
	require.NoError(t, err)
	_, err = docs.WriteDocs(asked, ci.DocChange{Doc: ci.Doc{Kind: "personal-token", ID: "hash-of-it", Name: "t1"}})
	require.NoError(t, err)
	require.NoError(t, w.Seal(ctx, time.Now()))
	var actions []string
	for _, l := range w.lines(t) {
		actions = append(actions, event(t, l.Text).Action)
	}
	require.Equal(t, []string{"rondo.webhook.create", "rondo.webhook.update", "rondo.webhook.delete", "rondo.personal_token.create"}, actions)
	require.NotContains(t, string(w.lines(t)[3].Text), "hash-of-it")
	conform(t, w.lines(t))
}

// What happens after a pause is on record without anything happening after it.
func TestAUD11_NothingWaitsForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, audit.Config{})
		more := make(chan ci.Event)
		running, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = w.Follow(running, past{}, func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
				return func(yield func(ci.Event, error) bool) {
					for {
						select {
						case e := <-more:
							if !yield(e, nil) {
								return
							}
						case <-ctx.Done():
							return
						}
					}
				}
			})
		}()
		for seq, kind := range []ci.EventKind{ci.StepStarted, ci.JobQueued, ci.StepEnded, ci.JobStarted} {
			time.Sleep(time.Second)
			more <- ci.Event{Seq: uint64(seq + 1), Kind: kind, Project: "p1", Pipeline: "l1", Workflow: "w1", Job: "j1", Name: "test", Time: noon}
			time.Sleep(time.Second)
			require.NoError(t, w.Seal(ctx, noon))
			require.Len(t, w.lines(t), (seq+1)/2)
		}
		stop()
		<-done
	})
}
