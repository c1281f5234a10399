package sqldb_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"github.com/rondo-ci/rondo/storage/sqldb/sqldbtest"
)

// BenchmarkDispatch hands out, claims and finishes tasks on the fake cluster,
// with a backlog in each kind of database and so many tasks queued (P21.b): at
// least 1,000 tasks/s with Postgres.
func BenchmarkDispatch(b *testing.B) {
	c, err := sqldbtest.Start("fsync=on", "full_page_writes=on")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, c.Stop()) })
	last := 0
	for name, open := range map[string]func() *sqldb.DB{
		"postgres": func() *sqldb.DB {
			last++
			dsn, err := c.Create(context.Background(), fmt.Sprint("bench", last))
			require.NoError(b, err)
			return openFile(b, dsn, sqldb.Config{})
		},
		"sqlite": func() *sqldb.DB { return open(b, sqldb.Config{}) },
	} {
		for _, queued := range []int{1_000, 100_000} {
			b.Run(fmt.Sprintf("%s/queued=%d", name, queued), func(b *testing.B) { dispatch(b, open().Backlog(), queued) })
		}
	}
}

func dispatch(b *testing.B, backlog scheduler.Backlog, queued int) {
	var s *scheduler.Scheduler
	done := make(chan error, 1024)
	c := schedulertest.NewCluster(func(ctx context.Context, p scheduler.Placement) error {
		l, err := s.Claim(ctx, p.Task.ID, p.Epoch, "w")
		if err == nil {
			err = s.Finish(ctx, l, ci.Report{Status: ci.Success})
		}
		done <- err
		return err
	})
	s = scheduler.New(backlog, c, func(context.Context, ci.Report) error { return nil }, scheduler.Config{})
	ctx, cancel := context.WithCancel(b.Context())
	const before = 200 // the first ones also wait until what was queued is stored
	stopped, total := make(chan error), queued+before+b.N
	follow := func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
		return func(yield func(ci.Event, error) bool) {
			for i := int(after); i < total; i++ {
				t := ci.Task{Job: ci.JobID(fmt.Sprintf("j%07d", i)), Project: ci.ProjectID(fmt.Sprint("p", i%50)), Total: 1, Name: "work"}
				e := ci.Event{Seq: uint64(i + 1), Kind: ci.JobQueued, Time: time.Now(), Project: t.Project, Job: t.Job, Task: &t}
				if !yield(e, nil) {
					return
				}
			}
			<-ctx.Done()
		}
	}
	go func() { stopped <- s.Run(ctx, follow) }()
	for s.Snapshot().Run < total {
		time.Sleep(time.Millisecond)
	}
	c.SetNodes(schedulertest.Node("n1", 64, 131072))
	for range before {
		require.NoError(b, <-done)
	}
	b.ResetTimer()
	for range b.N {
		require.NoError(b, <-done)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	cancel()
	<-stopped
}
