package ci_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// Many writers, several followers that begin anywhere and stop and resume:
// each sees every event once and in order (P8).
func TestP8_FollowWithoutGaps(t *testing.T) {
	const pipelines = 60
	m := newMemStore(shop)
	s := ci.New(m, compiles(planned("a", "b: a")), ci.Config{})
	stop := serve(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	// The agents: whoever sees a queued job runs it. They are writers too.
	var all sync.WaitGroup
	ended := make(chan struct{})
	all.Go(func() {
		left := pipelines
		for e, err := range s.Follow(ctx, 0) {
			if err != nil {
				return
			}
			switch e.Kind {
			case ci.JobQueued:
				all.Go(func() {
					for _, status := range []ci.Status{ci.Running, ci.Success} {
						if err := s.Report(t.Context(), ci.Report{Task: e.Task.ID, Epoch: 1, Status: status}); err != nil {
							t.Error(err)
						}
					}
				})
			case ci.WorkflowEnded:
				if left--; left == 0 {
					close(ended)
				}
			}
		}
	})
	// The watchers: they stop after every few events and resume by number.
	for every := 1; every <= 5; every++ {
		all.Go(func() {
			var last uint64
			for last == 0 || ctx.Err() == nil {
				n := 0
				for e, err := range s.Follow(ctx, last) {
					if err != nil {
						break
					}
					if e.Seq != last+1 {
						t.Errorf("event %d follows %d", e.Seq, last)
					}
					last = e.Seq
					if n++; n == every*7 {
						break
					}
				}
			}
		})
	}
	for i := range pipelines {
		all.Go(func() { _, _ = s.Trigger(t.Context(), push("main", fmt.Sprint(i))) })
	}
	<-ended
	cancel()
	all.Wait()
	stop()

	// The events alone tell the end of everything.
	told := map[ci.JobID]ci.Status{}
	flows := map[ci.WorkflowID]ci.Status{}
	for i, e := range m.events {
		require.Equal(t, uint64(i+1), e.Seq)
		if e.Job != "" && e.Kind != ci.TaskChanged {
			told[e.Job] = e.Status
			require.NotZero(t, e.Number, "event %d, %s", e.Seq, e.Kind)
			if e.Task != nil {
				require.Equal(t, e.Number, e.Task.Number)
			}
		} else if e.Workflow != "" {
			flows[e.Workflow] = e.Status
		}
	}
	require.Len(t, m.workflows, pipelines)
	for _, w := range m.workflows {
		require.Equal(t, ci.Success, w.Status)
		require.Equal(t, w.Status, flows[w.ID])
		for _, j := range w.Jobs {
			require.Equal(t, j.Status, told[j.ID])
		}
	}
}

func TestServer_FollowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		s := ci.New(m, compiles(), ci.Config{})
		trigger(t, s, push("main", "r1"))
		ctx, cancel := context.WithCancel(t.Context())
		var seen []ci.Event
		var last error
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e, err := range s.Follow(ctx, 0) {
				if last = err; err == nil {
					seen = append(seen, e)
				}
			}
		}()
		synctest.Wait()
		require.Len(t, seen, 1)
		require.Equal(t, ci.PipelineCreated, seen[0].Kind)
		trigger(t, s, push("main", "r2"))
		synctest.Wait()
		require.Len(t, seen, 2, "woken by the write")
		cancel()
		<-done
		require.ErrorIs(t, last, context.Canceled)

		broken := errors.New("disk I/O error")
		m.failing(func(string) error { return broken })
		for _, err := range s.Follow(t.Context(), 0) {
			last = err
		}
		require.ErrorIs(t, last, broken, "a follower is told of a fault, and ends")
	})
}

// Nothing is announced that was not written.
func TestServer_FollowSeesNoFailedWrite(t *testing.T) {
	m := newMemStore(shop)
	s := ci.New(m, compiles(), ci.Config{})
	trigger(t, s, push("main", "r1"))
	m.failing(func(method string) error {
		if method == "Create" {
			return errors.New("disk full")
		}
		return nil
	})
	_, err := s.Trigger(t.Context(), push("main", "r2"))
	require.ErrorContains(t, err, "disk full")
	n, err := m.LastEvent(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(1), n)
}
