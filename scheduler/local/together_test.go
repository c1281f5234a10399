package local_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// The queue over this machine: a hundred tasks at once, places for four; some
// agents panic before they begin.
func TestTogether(t *testing.T) {
	const tasks = 100
	var s *scheduler.Scheduler
	var now, most atomic.Int32
	agent := local.Func(func(ctx context.Context, p scheduler.Placement) error {
		for n := now.Add(1); ; {
			if old := most.Load(); old >= n || most.CompareAndSwap(old, n) {
				break
			}
		}
		if p.Epoch == 1 && p.Task.Number%10 == 0 {
			now.Add(-1)
			panic("an accident")
		}
		l, err := s.Claim(ctx, p.Task.ID, p.Epoch, "w")
		now.Add(-1) // before the place may be used again
		if err != nil {
			return err
		}
		return s.Finish(ctx, l, ci.Report{Status: ci.Success})
	})
	c := run(t, agent, local.Config{Capacity: scheduler.Resources{CPU: 8, MemoryMB: 24000}})

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	ended := make(map[ci.TaskID]ci.Status)
	report := func(_ context.Context, r ci.Report) error {
		mu.Lock()
		defer mu.Unlock()
		if r.Status.Ended() {
			ended[r.Task] = r.Status
		}
		if len(ended) == tasks {
			cancel()
		}
		return nil
	}
	follow := func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
		return func(yield func(ci.Event, error) bool) {
			for n := after + 1; n <= tasks; n++ {
				task := ci.Task{Job: ci.JobID(fmt.Sprint("job-", n)), Number: int64(n), Project: "p", Total: 1}.Slice(0)
				if !yield(ci.Event{Seq: n, Kind: ci.JobQueued, Task: &task}, nil) {
					return
				}
			}
			<-ctx.Done()
		}
	}
	s = scheduler.New(new(schedulertest.Backlog), c, report, scheduler.Config{
		Begun: func(context.Context, ci.TaskID, int64) (bool, error) { return false, nil },
	})
	require.NoError(t, s.Run(ctx, follow))
	require.Len(t, ended, tasks)
	for id, status := range ended {
		require.Equal(t, ci.Success, status, id)
	}
	require.LessOrEqual(t, most.Load(), int32(4))
}

// How long it takes from Submit until an agent that was kept ready has ended a
// task that does nothing.
func BenchmarkWarmAgent(b *testing.B) {
	b.Setenv(agentEnv, "1")
	c := local.New(local.Exec([]string{"/proc/self/exe"}, nil), local.Config{Dir: b.TempDir(), Warm: -1})
	ends := make(chan scheduler.Placement, 16)
	go func() {
		for p := range c.Watch(b.Context()) {
			if p.State == scheduler.PlacementDead {
				ends <- p
			}
		}
	}()
	for b.Loop() {
		if err := c.Submit(b.Context(), task(schedulertest.TaskEnds)); err != nil {
			b.Fatal(err)
		}
		_ = c.Stop(b.Context(), <-ends, 0)
	}
}
