package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

const benchProject = ci.ProjectID("01920000-0000-7000-8000-000000000001")

// withHistory opens a database with so many finished pipelines, each with a
// workflow of one job and four events.
func withHistory(b *testing.B, n int, cfg sqldb.Config) *sqldb.DB {
	b.Helper()
	file := filepath.Join(b.TempDir(), "rondo.db")
	db, err := sqldb.Open(b.Context(), file, cfg)
	require.NoError(b, err)
	require.NoError(b, db.PutProject(b.Context(), ci.Project{ID: benchProject, Slug: "gh/acme/shop", Org: "acme"}))
	p, w := newPipeline(b, db, benchProject)
	require.NoError(b, db.Close())
	if n > 0 {
		fill(b, file, n, p, w)
	}
	return openFile(b, file, cfg)
}

// newPipeline creates a pipeline and starts a workflow of one job.
func newPipeline(tb testing.TB, db *sqldb.DB, project ci.ProjectID) (ci.Pipeline, ci.Workflow) {
	tb.Helper()
	p, err := trigger(context.Background(), db, project)
	require.NoError(tb, err)
	w, err := plan(context.Background(), db, p.ID)
	require.NoError(tb, err)
	w, err = db.Workflow(context.Background(), w.ID)
	require.NoError(tb, err)
	return p, w
}

func trigger(ctx context.Context, db *sqldb.DB, project ci.ProjectID) (ci.Pipeline, error) {
	at := time.Now().UTC()
	p := ci.Pipeline{ID: ci.PipelineID(ci.NewID()), State: ci.PipelinePending, Created: at, Updated: at, Trigger: ci.Trigger{
		Project: project, Key: ci.NewID(), Source: ci.SourceWebhook, Branch: "main",
		Revision: "0123456789abcdef0123456789abcdef01234567", Subject: "a commit", Author: "alice",
	}}
	p, _, err := db.Create(ctx, p, ci.Event{Time: at, Kind: ci.PipelineCreated, Project: project, Pipeline: p.ID, Name: "main"})
	return p, err
}

func plan(ctx context.Context, db *sqldb.DB, id ci.PipelineID) (w ci.Workflow, err error) {
	planned := ci.PlannedWorkflow{Name: "main", Jobs: []ci.PlannedJob{{Name: "build", JobSpec: ci.JobSpec{
		Steps: []ci.StepSpec{{Kind: ci.StepRun, Command: "echo hi"}},
	}}}}
	err = db.Start(ctx, id, func(p *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		var events []ci.Event
		w, events = ci.NewWorkflow(*p, "acme", planned, ci.Actor{}, time.Now().UTC())
		p.State, p.Plan = ci.PipelineReady, &ci.Plan{Workflows: []ci.PlannedWorkflow{planned}}
		return []ci.Workflow{w}, events, nil
	})
	return w, err
}

// fill adds copies of a finished pipeline by bulk insert. Branches and names
// repeat, as they do.
func fill(b *testing.B, file string, n int, p ci.Pipeline, w ci.Workflow) {
	b.Helper()
	pool, err := sql.Open("sqlite", file+"?_pragma=synchronous(OFF)&_pragma=foreign_keys(0)")
	require.NoError(b, err)
	pool.SetMaxOpenConns(1)
	numbers := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n WHERE i <= %d) ", n)
	for _, q := range []string{
		`INSERT INTO pipelines SELECT i, 'p-' || i, project, i, 'k-' || i,
			CASE i % 10 WHEN 0 THEN 'dev-' || i ELSE 'main' END, CASE i % 50 WHEN 0 THEN 'errored' ELSE 'created' END,
			created, body FROM n, pipelines WHERE seq = 1`,
		`INSERT INTO plans SELECT i, body FROM n, plans WHERE pipeline = 1`,
		`INSERT INTO workflows SELECT i, 'w-' || i, i, project, 1, created, body FROM n, workflows WHERE seq = 1`,
		`INSERT INTO jobs SELECT i, 'j-' || i, 0, 0, 0, project, i, name, 'main', 'success', 1, body FROM n, jobs WHERE workflow = 1`,
		`INSERT INTO events SELECT 4*i+k, body FROM n, (SELECT 0 AS k UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3), events WHERE seq = 1`,
		`INSERT INTO steps SELECT 'j-' || i || '.0', 1, 0, '{}' FROM n`,
		`UPDATE counters SET value = (SELECT 8*max(seq) FROM pipelines)`,
	} {
		if q[0] == 'I' {
			q = numbers + q // SQLite takes the WITH in front of INSERT
		}
		_, err := pool.ExecContext(b.Context(), q)
		require.NoError(b, err, q)
	}
	require.NoError(b, pool.Close())
	f, err := os.Open(file)
	require.NoError(b, err)
	defer f.Close()
	require.NoError(b, f.Sync()) // or the first transactions would wait for all this
}

// histories are the ages of the databases: RONDO_HISTORY sets the old one.
func histories() []int {
	if n, err := strconv.Atoi(os.Getenv("RONDO_HISTORY")); err == nil {
		return []int{0, n}
	}
	return []int{0, 200_000}
}

// each runs the benchmark over databases of different age.
func each(b *testing.B, run func(b *testing.B, db *sqldb.DB)) {
	for _, n := range histories() {
		b.Run(fmt.Sprintf("history=%d", n), func(b *testing.B) {
			db := withHistory(b, n, sqldb.Config{})
			b.ResetTimer()
			run(b, db)
		})
	}
}

// BenchmarkPipelines lists pages, as the page of all pipelines and the API do.
func BenchmarkPipelines(b *testing.B) {
	each(b, func(b *testing.B, db *sqldb.DB) {
		for i := 0; i < 30; i++ {
			newPipeline(b, db, benchProject)
		}
		for name, q := range map[string]ci.Query{
			"all": {}, "project": {Project: benchProject}, "branch": {Project: benchProject, Branch: "main"},
			"pending": {State: ci.PipelinePending}, "errored": {Project: benchProject, State: ci.PipelineError},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					for _, err := range db.Pipelines(b.Context(), q) {
						require.NoError(b, err)
					}
				}
			})
		}
	})
}

// BenchmarkTrigger creates pipelines, one durable transaction each.
func BenchmarkTrigger(b *testing.B) {
	each(b, func(b *testing.B, db *sqldb.DB) {
		for b.Loop() {
			_, err := trigger(context.Background(), db, benchProject)
			require.NoError(b, err)
		}
	})
}

// BenchmarkStart plans pipelines: plan, workflow, job, events.
func BenchmarkStart(b *testing.B) {
	each(b, func(b *testing.B, db *sqldb.DB) {
		for b.Loop() {
			b.StopTimer()
			p, err := trigger(context.Background(), db, benchProject)
			require.NoError(b, err)
			b.StartTimer()
			_, err = plan(context.Background(), db, p.ID)
			require.NoError(b, err)
		}
	})
}

// BenchmarkUpdate reports a task as running and as lost, in turns.
func BenchmarkUpdate(b *testing.B) {
	each(b, func(b *testing.B, db *sqldb.DB) {
		_, w := newPipeline(b, db, benchProject)
		epoch := int64(0)
		for b.Loop() {
			status := ci.Queued
			if epoch++; epoch%2 == 1 {
				status = ci.Running
			}
			err := db.Update(context.Background(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
				return u.Report(ci.Report{Task: w.Jobs[0].ID.Task(0), Epoch: epoch, Status: status}, time.Now())
			})
			require.NoError(b, err)
		}
	})
}

// BenchmarkTicket writes one ticket, the least a transaction can be.
func BenchmarkTicket(b *testing.B) {
	each(b, func(b *testing.B, db *sqldb.DB) {
		t := ci.Ticket{Task: ci.Task{Job: "j"}.Slice(0), State: ci.TicketWaiting}
		for b.Loop() {
			t.Epoch++
			require.NoError(b, db.Backlog().Put(context.Background(), 0, t))
		}
	})
}

// BenchmarkPutStep writes steps as an agent does: started, ended.
func BenchmarkPutStep(b *testing.B) {
	each(b, func(b *testing.B, db *sqldb.DB) {
		t := ci.Ticket{Task: ci.Task{Job: "j"}.Slice(0), State: ci.TicketLeased, Epoch: 1, Worker: "w"}
		require.NoError(b, db.Backlog().Put(context.Background(), 0, t))
		l := ci.Lease{Task: t.Task.ID, Epoch: 1, Worker: "w"}
		for i := 0; b.Loop(); i++ {
			s := ci.Step{Index: i / 2, Kind: ci.StepRun, Name: "make", Status: ci.Running, Started: time.Now()}
			if i%2 == 1 {
				s.Status = ci.Success
			}
			require.NoError(b, db.PutStep(context.Background(), l, s))
		}
	})
}

// BenchmarkParallel writes from so many goroutines at once; ns/op is that of
// one transaction.
func BenchmarkParallel(b *testing.B) {
	for _, n := range []int{1, 4, 32} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			db := withHistory(b, 0, sqldb.Config{})
			b.SetParallelism((n + 1) / 2) // times GOMAXPROCS, 2 here
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := trigger(context.Background(), db, benchProject); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkEvents reads the newest ten events.
func BenchmarkEvents(b *testing.B) {
	each(b, func(b *testing.B, db *sqldb.DB) {
		for i := 0; i < 5; i++ {
			newPipeline(b, db, benchProject)
		}
		last, err := db.LastEvent(b.Context())
		require.NoError(b, err)
		for b.Loop() {
			for _, err := range db.Events(context.Background(), last-10) {
				require.NoError(b, err)
			}
		}
	})
}

// BenchmarkWorkflow loads a workflow of one job.
func BenchmarkWorkflow(b *testing.B) {
	each(b, func(b *testing.B, db *sqldb.DB) {
		_, w := newPipeline(b, db, benchProject)
		for b.Loop() {
			_, err := db.Workflow(context.Background(), w.ID)
			require.NoError(b, err)
		}
	})
}

// BenchmarkOpen opens and closes an existing database.
func BenchmarkOpen(b *testing.B) {
	for _, n := range histories() {
		b.Run(fmt.Sprintf("history=%d", n), func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "rondo.db")
			db, err := sqldb.Open(b.Context(), file, sqldb.Config{})
			require.NoError(b, err)
			require.NoError(b, db.PutProject(b.Context(), ci.Project{ID: benchProject, Slug: "gh/acme/shop", Org: "acme"}))
			p, w := newPipeline(b, db, benchProject)
			require.NoError(b, db.Close())
			if n > 0 {
				fill(b, file, n, p, w)
			}
			for b.Loop() {
				db, err := sqldb.Open(context.Background(), file, sqldb.Config{})
				require.NoError(b, err)
				require.NoError(b, db.Close())
			}
		})
	}
}
