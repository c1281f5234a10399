package insights_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/insights"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// A history is workflows that have ended, and the events that say so.
type history struct {
	pipelines map[ci.PipelineID]ci.Pipeline
	workflows map[ci.WorkflowID]ci.Workflow
	tests     map[ci.JobID][]ci.Test
	events    []ci.Event
}

func newHistory() *history {
	return &history{map[ci.PipelineID]ci.Pipeline{}, map[ci.WorkflowID]ci.Workflow{}, map[ci.JobID][]ci.Test{}, nil}
}

func (h *history) Pipeline(_ context.Context, id ci.PipelineID) (ci.Pipeline, error) {
	return found(h.pipelines, id)
}

func (h *history) Workflow(_ context.Context, id ci.WorkflowID) (ci.Workflow, error) {
	return found(h.workflows, id)
}

func (h *history) Tests(_ context.Context, id ci.JobID) ([]ci.Test, error) { return h.tests[id], nil }

func found[K comparable, V any](m map[K]V, key K) (V, error) {
	v, ok := m[key]
	if !ok {
		return v, ci.ErrNotFound
	}
	return v, nil
}

// Follow yields what there is and waits for the end of ctx.
func (h *history) Follow(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		for _, e := range h.events[min(after, uint64(len(h.events))):] {
			if !yield(e, nil) {
				return
			}
		}
		<-ctx.Done()
		yield(ci.Event{}, ctx.Err())
	}
}

// end adds a workflow of one job that has ended at the instant.
func (h *history) end(project ci.ProjectID, name, branch, revision string, status ci.Status, stopped time.Time, wait, took time.Duration, tests ...ci.Test) ci.WorkflowID {
	n := len(h.events) + 1
	p := ci.Pipeline{ID: ci.PipelineID(fmt.Sprint("p", n)), Number: int64(n), Trigger: ci.Trigger{Project: project, Branch: branch, Revision: revision}}
	started := stopped.Add(-took)
	w := ci.Workflow{
		ID: ci.WorkflowID(fmt.Sprint("w", n)), Pipeline: p.ID, Project: project, Name: name, Status: status,
		Created: started.Add(-wait), Stopped: stopped,
		Jobs: []ci.Job{{
			ID: ci.JobID(fmt.Sprint("j", n)), Name: "test", Number: int64(n), Status: status, Parallelism: 2,
			Queued: started.Add(-wait), Started: started, Stopped: stopped,
		}},
	}
	h.pipelines[p.ID], h.workflows[w.ID], h.tests[w.Jobs[0].ID] = p, w, tests
	h.events = append(h.events, ci.Event{Seq: uint64(n), Kind: ci.WorkflowEnded, Project: project, Workflow: w.ID})
	return w.ID
}

// learn lets a memory follow the history to its end.
func learn(t *testing.T, in *insights.Insights, h *history) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- in.Run(ctx, h.Follow) }()
	time.Sleep(time.Minute) // of the bubble's clock
	cancel()
	require.NoError(t, <-ended)
}

// 101 builds whose durations are 1 to 101 minutes have a median of 51.
func TestARC07_ExactMediansAndRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, db := newHistory(), memdb.New()
		end := time.Now().Add(-time.Hour)
		for i := range 101 {
			k := i*37%101 + 1 // in no order
			status := ci.Success
			if k%10 == 0 {
				status = ci.Failed
			}
			h.end("shop", "build", "main", fmt.Sprint(i), status, end.Add(time.Duration(i)*time.Second), time.Duration(k)*time.Second, time.Duration(k)*time.Minute)
		}
		h.end("shop", "build", "main", "x", ci.Canceled, end, 0, time.Hour*1000)
		h.end("other", "build", "main", "x", ci.Failed, end, 0, time.Hour)
		in := insights.New(db, h, insights.Config{})
		learn(t, in, h)
		q := ci.RunQuery{Project: "shop", From: time.Now().Add(-24 * time.Hour)}
		jobs, err := in.JobStats(t.Context(), q)
		require.NoError(t, err)
		require.Len(t, jobs, 1)
		s := jobs[0]
		require.Equal(t, "test", s.Name)
		require.Equal(t, 102, s.Runs)
		require.Equal(t, 91, s.Successes)
		require.Equal(t, 10, s.Failures)
		require.InDelta(t, 91.0/101, s.SuccessRate(), 1e-9)
		require.InDelta(t, 102, s.Throughput(), 0.1)
		require.Equal(t, 51*time.Minute, s.Duration.Median)
		require.Equal(t, 51*time.Minute, s.Duration.Mean)
		require.Equal(t, time.Minute, s.Duration.Min)
		require.Equal(t, 101*time.Minute, s.Duration.Max)
		require.Equal(t, 96*time.Minute, s.Duration.P95)
		require.Equal(t, 51*time.Second-500*time.Millisecond, s.Wait.Median, "the canceled one waited too")
		require.Equal(t, 2, s.Parallelism)
		require.Equal(t, time.Duration(100*37%101+1)*time.Minute, s.Last)
		flows, err := in.WorkflowStats(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, 51*time.Minute+51*time.Second, flows[0].Duration.Median, "a workflow's time includes the wait")
		usage, err := in.Usage(t.Context(), q)
		require.NoError(t, err)
		require.Len(t, usage, 1)
		require.Equal(t, 102, usage[0].Jobs)
		require.Equal(t, 2*(51*101*time.Minute+1000*time.Hour), usage[0].Time, "of two nodes each")
		none, err := in.WorkflowStats(t.Context(), ci.RunQuery{Project: "unknown"})
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

func TestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory()
		at := time.Now().Add(-10 * time.Hour)
		for i, s := range []ci.Status{ci.Failed, ci.TimedOut, ci.Success, ci.Success, ci.Failed, ci.Success} {
			h.end("shop", "build", "main", fmt.Sprint(i), s, at.Add(time.Duration(i)*time.Hour), 0, time.Minute)
		}
		h.end("shop", "build", "feature", "x", ci.Success, at.Add(30*time.Minute), 0, time.Minute) // another branch heals nothing
		in := insights.New(memdb.New(), h, insights.Config{})
		learn(t, in, h)
		s, err := in.WorkflowStats(t.Context(), ci.RunQuery{Project: "shop", From: at.Add(-time.Hour)})
		require.NoError(t, err)
		require.Equal(t, 2, s[0].Recoveries)
		require.Equal(t, 90*time.Minute, s[0].Recovery)
		branches, err := in.Branches(t.Context(), "shop", "build")
		require.NoError(t, err)
		require.Equal(t, []string{"feature", "main"}, branches)
		onFeature, err := in.WorkflowStats(t.Context(), ci.RunQuery{Project: "shop", Branch: "feature"})
		require.NoError(t, err)
		require.Equal(t, 1, onFeature[0].Runs)
	})
}

func result(name, result string, seconds float64) ci.Test {
	return ci.Test{Name: name, Classname: "c", Result: result, Seconds: seconds, Message: "m"}
}

// A test that failed and then passed at the same commit is flaky; one that
// was mended by another commit is not.
func TestFlakyTests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory()
		at := time.Now().Add(-time.Hour)
		h.end("shop", "build", "main", "r1", ci.Failed, at, 0, 0, result("a", "failure", 1), result("b", "success", 2), result("c", "failure", 0))
		h.end("shop", "build", "main", "r1", ci.Success, at.Add(time.Minute), 0, 0, result("a", "success", 1), result("b", "success", 5), result("c", "skipped", 0))
		h.end("shop", "build", "main", "r2", ci.Success, at.Add(2*time.Minute), 0, 0, result("c", "success", 0))
		again := h.workflows["w3"] // a retry in place, at r2
		again.Past = []ci.Job{{ID: "past", Name: "test"}}
		h.workflows["w3"], h.tests["past"] = again, []ci.Test{result("c", "error", 0)}
		in := insights.New(memdb.New(), h, insights.Config{})
		learn(t, in, h)
		h.events = append(h.events, ci.Event{Seq: 4, Kind: ci.WorkflowEnded, Workflow: "w3"}, ci.Event{Seq: 5, Kind: ci.WorkflowEnded, Workflow: "gone"})
		learn(t, in, h) // ended once more: no second flake
		flaky, err := in.FlakyTests(t.Context(), "shop")
		require.NoError(t, err)
		require.Len(t, flaky, 2)
		names := map[string]ci.FlakyTest{flaky[0].Name: flaky[0], flaky[1].Name: flaky[1]}
		require.Equal(t, 1, names["a"].Flakes)
		require.Equal(t, "failure", names["a"].Result)
		require.Equal(t, int64(2), names["a"].JobNumber)
		require.Equal(t, 1, names["c"].Flakes)
		stats, err := in.TestStats(t.Context(), ci.RunQuery{Project: "shop", Workflow: "build"})
		require.NoError(t, err)
		require.Equal(t, 3, stats.Runs)
		require.InDelta(t, 7.0/3, stats.Average, 1e-9)
		require.Equal(t, "b", stats.Slowest[0].Name)
		require.Equal(t, 5*time.Second, stats.Slowest[0].Longest)
		require.Equal(t, 1, stats.Failed[0].Failures)

		time.Sleep(insights.FlakyKept)
		flaky, err = in.FlakyTests(t.Context(), "shop")
		require.NoError(t, err)
		require.Empty(t, flaky, "after two weeks it is forgiven")
	})
}

// A restart counts nothing twice and misses nothing; what is too old goes.
func TestFollowAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, db := newHistory(), memdb.New()
		for i := range 250 {
			h.end("shop", "build", "main", fmt.Sprint(i), ci.Success, time.Now().Add(time.Duration(i)*time.Millisecond), 0, time.Second)
		}
		learn(t, insights.New(db, h, insights.Config{}), h)
		h.end("shop", "build", "main", "last", ci.Success, time.Now(), 0, time.Second)
		in := insights.New(db, h, insights.Config{})
		learn(t, in, h)
		stats, err := in.WorkflowStats(t.Context(), ci.RunQuery{Project: "shop"})
		require.NoError(t, err)
		require.Equal(t, 251, stats[0].Runs)
		time.Sleep(insights.Kept)
		h.end("shop", "deploy", "main", "new", ci.Success, time.Now(), 0, time.Second)
		learn(t, in, h)
		h.end("shop", "deploy", "main", "new", ci.Success, time.Now(), 0, time.Second)
		learn(t, in, h)
		names, err := in.Workflows(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, []string{"deploy"}, names)
		stats, err = in.WorkflowStats(t.Context(), ci.RunQuery{Project: "shop"})
		require.NoError(t, err)
		require.Equal(t, 2, stats[0].Runs)
	})
}

// A049: whatever names a project gives, the others' runs are remembered.
func TestA049_LongNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, db := newHistory(), memdb.New()
		long := strings.Repeat("<", 2*ci.MaxDoc)
		h.end("shop", long, "main", "a", ci.Success, time.Now(), 0, time.Second)
		h.end("shop", "jobs", "main", "a", ci.Success, time.Now(), 0, time.Second)
		many := h.workflows["w2"]
		for i := range 2500 {
			many.Jobs = append(many.Jobs, ci.Job{ID: ci.JobID(fmt.Sprint("many", i)), Name: strings.Repeat("n", 1000), Status: ci.Success})
		}
		h.workflows["w2"] = many
		h.end("shop", "tests", "main", "a", ci.Failed, time.Now(), 0, time.Second, result(long, "failure", 1))
		h.end("shop", "tests", "main", "a", ci.Success, time.Now(), 0, time.Second, result(long, "success", 1))
		h.end("other", "build", "main", "b", ci.Success, time.Now(), 0, time.Second)
		in := insights.New(db, h, insights.Config{})
		learn(t, in, h)
		names, err := in.Workflows(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, []string{"jobs", "tests"}, names)
		stats, err := in.WorkflowStats(t.Context(), ci.RunQuery{Project: "other"})
		require.NoError(t, err)
		require.Len(t, stats, 1)
	})
}

// A095: a project that has a new workflow each time, or tests that are all
// flaky, fills no memory and slows no page.
func TestA095_ManyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, db := newHistory(), memdb.New()
		for i := range 1500 {
			h.end("shop", fmt.Sprint("w", i), "main", "a", ci.Success, time.Now(), 0, time.Second)
		}
		var red, green []ci.Test
		for i := range 2000 {
			red = append(red, result(fmt.Sprint(i), "failure", 1))
			green = append(green, result(fmt.Sprint(i), "success", 1))
		}
		h.end("other", "tests", "main", "a", ci.Failed, time.Now(), 0, time.Second, red...)
		h.end("other", "tests", "main", "a", ci.Success, time.Now(), 0, time.Second, green...)
		h.end("shop", "w0", "main", "b", ci.Success, time.Now(), 0, time.Second)
		in := insights.New(db, h, insights.Config{})
		learn(t, in, h)
		names, err := in.Workflows(t.Context(), "shop")
		require.NoError(t, err)
		require.LessOrEqual(t, len(names), 1000)
		require.Greater(t, len(names), 900)
		stats, err := in.WorkflowStats(t.Context(), ci.RunQuery{Project: "shop", Workflow: "w0"})
		require.NoError(t, err)
		require.Equal(t, 2, stats[0].Runs, "what is known goes on")
		flaky, err := in.FlakyTests(t.Context(), "other")
		require.NoError(t, err)
		require.Empty(t, flaky)
	})
}

// P17: a database that is away costs time, no run and no server.
func TestP17_DatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, db := newHistory(), memdb.New()
		for i := range 10 {
			h.end("shop", "build", "main", fmt.Sprint(i), ci.Success, time.Now(), 0, time.Second)
		}
		in := insights.New(&away{db, 3}, h, insights.Config{})
		learn(t, in, h)
		stats, err := in.WorkflowStats(t.Context(), ci.RunQuery{Project: "shop"})
		require.NoError(t, err)
		require.Equal(t, 10, stats[0].Runs)
	})
}

// An away database fails so many writes.
type away struct {
	books
	times int
}

type books = ci.Docs

func (a *away) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	if a.times--; a.times >= 0 {
		return nil, errors.New("the database is away")
	}
	return a.books.WriteDocs(ctx, changes...)
}

// BenchmarkStats sums up 90 days of 200 runs a day, on SQLite.
func BenchmarkStats(b *testing.B) {
	db, err := sqldb.Open(b.Context(), filepath.Join(b.TempDir(), "db"), sqldb.Config{Volatile: true})
	require.NoError(b, err)
	defer db.Close()
	h := newHistory()
	for i := range 18000 {
		h.end("shop", "build", "main", fmt.Sprint(i), ci.Success, time.Now().Add(-time.Duration(i)*7*time.Minute), time.Second, time.Minute)
	}
	in := insights.New(db, h, insights.Config{})
	ctx, cancel := context.WithCancel(b.Context())
	go func() {
		for {
			if n, err := db.Doc(ctx, "insight-cursor", "insight-cursor"); err == nil && string(n.Body) == "18000" {
				cancel()
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	require.NoError(b, in.Run(ctx, h.Follow))
	for b.Loop() {
		s, err := in.WorkflowStats(b.Context(), ci.RunQuery{Project: "shop"})
		require.NoError(b, err)
		require.Equal(b, 18000, s[0].Runs)
	}
}

func Example() {
	ctx := context.Background()
	in := insights.New(memdb.New(), memdb.New(), insights.Config{})
	stats, err := in.WorkflowStats(ctx, ci.RunQuery{Project: "p1", From: time.Now().Add(-24 * time.Hour)})
	fmt.Println(len(stats), err)
	// Output: 0 <nil>
}
