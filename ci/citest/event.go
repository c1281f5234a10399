package citest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

var eventClauses = []clause[ci.Store]{
	{
		"numbered from 1 without gaps",
		"Events are numbered in the order of commit; Events yields those after the given number, LastEvent the newest number.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			require.Empty(t, all(t, s.Events(t.Context(), 0)))
			last, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			require.Zero(t, last)
			p := project(t, s, "shop")
			w := start(t, s, p, "main")
			finish(t, s, w, "build", ci.Success)
			events := all(t, s.Events(t.Context(), 0))
			require.NotEmpty(t, events)
			for i, e := range events {
				require.Equal(t, uint64(i+1), e.Seq)
			}
			for after := range uint64(len(events) + 3) {
				same(t, events[min(int(after), len(events)):], all(t, s.Events(t.Context(), after)))
			}
			require.Empty(t, all(t, s.Events(t.Context(), 1<<64-1)))
			last, err = s.LastEvent(t.Context())
			require.NoError(t, err)
			require.Equal(t, uint64(len(events)), last)
		},
	},
	{
		"an event comes back as it was written",
		"Events are kept with every field; times in UTC.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			w := start(t, s, project(t, s, "shop"), "main")
			at := now()
			want := ci.Event{
				Time: at, Kind: ci.JobQueued, Project: w.Project, Pipeline: w.Pipeline, Workflow: w.ID,
				Job: w.Jobs[0].ID, Name: "n", Number: 9, Status: ci.Queued, Reason: "because\n<&>", Actor: alice, Node: 3,
				Task: &ci.Task{ID: "t.0", Job: "t", Number: 9, Total: 2, Queued: at.In(time.FixedZone("far", -3600))},
				Step: &ci.Step{Index: 2, Name: "s", Status: ci.Failed, ExitCode: 1, Started: at, Stopped: at.Add(time.Second), Lost: 3},
			}
			before, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			require.NoError(t, s.Update(t.Context(), w.ID, func(*ci.Workflow) ([]ci.Event, error) { return []ci.Event{want}, nil }))
			require.Zero(t, want.Seq, "the caller's own value is left alone")
			want.Seq = before + 1
			task := *want.Task
			task.Queued = at
			want.Task = &task
			same(t, []ci.Event{want}, all(t, s.Events(t.Context(), before)))
		},
	},
	{
		"a sequence ends",
		"Events ends with the newest at the time of the call, also when its consumer makes more; and the consumer may use the store meanwhile.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			for range 450 {
				create(t, s, p.ID, "main")
			}
			n := uint64(0)
			for e, err := range s.Events(t.Context(), 0) {
				require.NoError(t, err)
				n++
				require.Equal(t, n, e.Seq)
				if n%2 == 0 {
					create(t, s, p.ID, "main")
				}
				require.Less(t, n, uint64(1000), "without end")
			}
			require.GreaterOrEqual(t, n, uint64(450))
		},
	},
	{
		"dense in commit order for a follower",
		"Whoever has read up to a number has seen all up to it: with many writers at once a follower misses none, and numbers of pipelines and jobs are dense and unique.",
		checkFollower,
	},
	{
		"waiting",
		"Wait returns when there is an event after the number, at once if there is one already, and with the error of its context.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			create(t, s, p.ID, "main")
			require.NoError(t, s.Wait(t.Context(), 0))
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorIs(t, s.Wait(ended, 1), context.Canceled)
			late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			for {
				if err := s.Wait(late, 1); err != nil { // it may return early
					require.ErrorIs(t, err, context.DeadlineExceeded)
					break
				}
			}
			var readers sync.WaitGroup
			for range 20 {
				readers.Go(func() { awaitEvent(t.Context(), s, 1) })
			}
			create(t, s, p.ID, "main")
			readers.Wait()
		},
	},
}

// awaitEvent waits until there is an event after the number.
func awaitEvent(ctx context.Context, s ci.Store, after uint64) {
	for {
		if last, err := s.LastEvent(ctx); err != nil || last > after {
			return
		}
		if err := s.Wait(ctx, after); err != nil {
			return
		}
	}
}

func checkFollower(t *testing.T, open func(*testing.T) ci.Store) {
	s := open(t)
	p := project(t, s, "shop")
	const writers, rounds = 12, 8
	plan := ci.PlannedWorkflow{Name: "w", Jobs: []ci.PlannedJob{{Name: "build"}}}
	errs := make(chan error, writers*rounds)
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range rounds {
				q := pipeline(p.ID, "main")
				_, _, err := s.Create(t.Context(), q, created(q))
				if err == nil {
					err = s.Start(t.Context(), q.ID, func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
						w, events := ci.NewWorkflow(*q, p.Org, plan, alice, now())
						return []ci.Workflow{w}, events, nil
					})
				}
				if err != nil {
					errs <- err
				}
			}
		})
	}
	// Created, then started with two events: the workflow's and the job's.
	const total = uint64(3 * writers * rounds)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pipelines, jobs, seen := map[int64]bool{}, map[int64]bool{}, uint64(0)
	for seen < total {
		for e, err := range s.Events(ctx, seen) {
			require.NoError(t, err)
			require.Equal(t, seen+1, e.Seq, "an event was missed or came twice")
			seen = e.Seq
			switch e.Kind {
			case ci.PipelineCreated:
				require.False(t, pipelines[e.Number], "pipeline number twice")
				pipelines[e.Number] = true
			case ci.JobQueued:
				require.False(t, jobs[e.Number], "job number twice")
				jobs[e.Number] = true
			}
		}
		if seen < total {
			require.NoError(t, s.Wait(ctx, seen))
		}
		if len(errs) > 0 {
			require.NoError(t, <-errs)
		}
	}
	writing.Wait()
	for n := range int64(writers * rounds) {
		require.True(t, pipelines[n+1] && jobs[n+1], "number %d was not given", n+1)
	}
}
