package scheduler_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

var node = schedulertest.Node("n1", 4, 8192) // two mediums

func TestFromEventToOutcome(t *testing.T) {
	play(t, scheduler.Config{Token: func(id ci.TaskID, epoch int64) string { return "token of " + string(id) }}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{})
		require.Equal(t, 1, s.cluster.Submits(id, 1))
		require.Equal(t, "placed", s.code(id))
		ticket, _ := s.backlog.Ticket(id)
		require.Equal(t, ci.TicketPlaced, ticket.State)
		require.Equal(t, int64(1), ticket.Epoch)
		cursor, _ := s.backlog.Cursor(t.Context())
		require.Equal(t, uint64(1), cursor)
		require.Equal(t, 1, s.backlog.Writes(), "the ticket and its placement are one transaction")

		l := s.claim(id, 1)
		require.Equal(t, ci.Lease{Task: id, Epoch: 1, Worker: "w", TTL: 330 * time.Second, Renew: 10 * time.Second}, l)
		ticket, _ = s.backlog.Ticket(id)
		require.Equal(t, ci.TicketLeased, ticket.State)
		require.Equal(t, "w", ticket.Worker)
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, ci.Running, s.world.state(id).status)
		require.Equal(t, "running", s.code(id))
		require.NoError(t, s.Check(l))

		s.finish(l, ci.Success)
		require.Equal(t, ci.Success, s.world.state(id).status)
		require.ErrorIs(t, s.Check(l), ci.ErrConflict)
		_, err := s.Explain(t.Context(), id)
		require.ErrorIs(t, err, ci.ErrNotFound)
		s.after(time.Second)
		require.Zero(t, s.backlog.Len())
	}, node)
}

func TestP4_OnlyTheCurrentHandOutHasEffect(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		ctx := t.Context()
		id := s.queue(ci.Task{})
		_, err := s.Claim(ctx, id, 2, "w")
		require.ErrorIs(t, err, ci.ErrConflict, "an epoch that was never handed out")
		_, err = s.Claim(ctx, id, 0, "w")
		require.ErrorIs(t, err, ci.ErrConflict)
		_, err = s.Claim(ctx, "nobody.0", 1, "w")
		require.ErrorIs(t, err, ci.ErrConflict)
		_, err = s.Claim(ctx, id, 1, "")
		require.ErrorIs(t, err, ci.ErrInvalid)

		old := s.claim(id, 1)
		again, err := s.Claim(ctx, id, 1, "w")
		require.NoError(t, err, "the answer was lost, the worker asks again")
		require.Equal(t, old, again)
		_, err = s.Claim(ctx, id, 1, "other")
		require.ErrorIs(t, err, ci.ErrConflict, "one worker only")

		s.cluster.Die(id, 1, "gone") // no step had begun
		synctest.Wait()
		require.Equal(t, 1, s.cluster.Submits(id, 2))
		now := s.claim(id, 2)
		require.ErrorIs(t, s.Check(old), ci.ErrConflict)
		_, err = s.Renew(ctx, old)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.ErrorIs(t, s.Finish(ctx, old, ci.Report{Status: ci.Failed}), ci.ErrConflict)
		_, err = s.Claim(ctx, id, 1, "w")
		require.ErrorIs(t, err, ci.ErrConflict)
		stolen := now
		stolen.Worker = "other"
		require.ErrorIs(t, s.Finish(ctx, stolen, ci.Report{Status: ci.Success}), ci.ErrConflict)
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, ci.Running, s.world.state(id).status)

		s.finish(now, ci.Success)
		require.NoError(t, s.Finish(ctx, now, ci.Report{Status: ci.Success}), "the answer was lost")
		require.ErrorIs(t, s.Finish(ctx, old, ci.Report{Status: ci.Failed}), ci.ErrConflict)
		_, err = s.Renew(ctx, now)
		require.ErrorIs(t, err, ci.ErrConflict)
	}, node)
}

func TestFinishRefusesNonsense(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		l := s.claim(s.queue(ci.Task{}), 1)
		for _, r := range []ci.Report{
			{}, {Status: ci.Running}, {Status: ci.NotRun}, {Status: "great"},
			{Status: ci.Success, Epoch: 7}, {Status: ci.Success, Task: "other.0"},
		} {
			require.ErrorIs(t, s.Finish(t.Context(), l, r), ci.ErrInvalid)
		}
		require.NoError(t, s.Check(l))
	}, node)
}

func TestLeaseIsRenewedAndEnds(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{})
		l := s.claim(id, 1)
		s.world.step(id, 1)
		writes := s.backlog.Writes()
		for range 60 {
			s.after(10 * time.Second)
			_, err := s.Renew(t.Context(), l)
			require.NoError(t, err)
		}
		require.LessOrEqual(t, s.backlog.Writes()-writes, 5, "renewals are not all written")
		s.after(5*time.Minute + 29*time.Second)
		require.NoError(t, s.Check(l))
		s.after(2 * time.Second)
		require.ErrorIs(t, s.Check(l), ci.ErrConflict)
		state := s.world.state(id)
		require.Equal(t, ci.InfraFailed, state.status, "P6: its steps had begun")
		require.Contains(t, state.reason, "not heard of for 5m30s")
		require.Empty(t, s.cluster.Living(), "the silent agent is killed")
	}, node)
}

func TestP5_P6_LostAgents(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		t.Log("before any step: waits again, three times at most")
		id := s.queue(ci.Task{})
		for epoch := range int64(3) {
			s.claim(id, epoch+1)
			s.cluster.Die(id, epoch+1, "agent process 123 was killed by signal 9")
			synctest.Wait()
		}
		state := s.world.state(id)
		require.Equal(t, ci.InfraFailed, state.status)
		require.Equal(t, "3 agents were lost before its first step, the last one: agent process 123 was killed by signal 9", state.reason)

		t.Log("after a step began: ends")
		id = s.queue(ci.Task{})
		l := s.claim(id, 1)
		s.world.step(id, 1)
		s.cluster.Die(id, 1, "agent process 124 was killed by signal 9")
		synctest.Wait()
		state = s.world.state(id)
		require.Equal(t, ci.InfraFailed, state.status)
		require.Contains(t, state.reason, "agent process 124 was killed by signal 9; steps of it had begun")
		require.ErrorIs(t, s.Check(l), ci.ErrConflict)

		t.Log("never claimed: waits again")
		id = s.queue(ci.Task{})
		s.cluster.Die(id, 1, "no such image")
		synctest.Wait()
		require.Equal(t, 1, s.cluster.Submits(id, 2))
		s.after(time.Second)
		require.Len(t, s.cluster.Living(), 1)
	}, node)
}

func TestP5_AgentThatNeverClaims(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{})
		s.after(6 * time.Minute)
		require.Equal(t, 1, s.cluster.Submits(id, 2))
		_, err := s.Claim(t.Context(), id, 1, "late")
		require.ErrorIs(t, err, ci.ErrConflict)
	}, node)
}

func TestP18_LeaseWinsOverAClusterThatLies(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{})
		l := s.claim(id, 1)
		s.cluster.Show(id, 1, scheduler.PlacementLost, "node n1 missed its heartbeat")
		synctest.Wait()
		require.Equal(t, "silent", s.code(id))
		for range 120 {
			s.after(10 * time.Second)
			_, err := s.Renew(t.Context(), l)
			require.NoError(t, err)
		}
		s.cluster.Lose(id, 1)
		for range 12 {
			s.after(10 * time.Second)
			_, err := s.Renew(t.Context(), l)
			require.NoError(t, err)
		}
		require.Zero(t, s.cluster.Submits(id, 2))
		s.after(45 * time.Second)
		require.Equal(t, 1, s.cluster.Submits(id, 2), "unknown to the cluster and silent")
	}, node)
}

func TestP18_SubmitUntilTheAnswerIsKnown(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		var down atomic.Bool
		down.Store(true)
		s.cluster.SetFault(func(op string, _ scheduler.Placement) error {
			if down.Load() && op == "submit" {
				return errors.New("connection refused")
			}
			return nil
		})
		id := s.queue(ci.Task{})
		s.after(30 * time.Minute)
		r, err := s.Explain(t.Context(), id)
		require.NoError(t, err)
		require.Contains(t, r.Text, "connection refused")
		down.Store(false)
		s.after(time.Minute)
		require.Equal(t, 1, s.cluster.Submits(id, 1))
		s.claim(id, 1)
	}, node)
}

func TestReportsAreNeverLost(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		var down atomic.Bool
		down.Store(true)
		s.world.setFault(func(r ci.Report) error {
			if down.Load() {
				return errors.New("disk full")
			}
			return nil
		})
		id := s.queue(ci.Task{})
		l := s.claim(id, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, s.Finish(ctx, l, ci.Report{Status: ci.Success}), context.DeadlineExceeded)
		require.ErrorIs(t, s.Check(l), ci.ErrConflict, "it has ended, whatever follows")
		s.after(20 * time.Minute)
		down.Store(false)
		s.after(time.Minute)
		require.Equal(t, ci.Success, s.world.state(id).status)
		require.NoError(t, s.Finish(t.Context(), l, ci.Report{Status: ci.Success}))
	}, node)
}

func TestP27_Cancel(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		running, placed := s.queue(ci.Task{}), s.queue(ci.Task{})
		waiting := s.queue(ci.Task{})
		l := s.claim(running, 1)

		s.world.cancel(waiting)
		synctest.Wait()
		_, err := s.Explain(t.Context(), waiting)
		require.ErrorIs(t, err, ci.ErrNotFound)

		s.world.cancel(placed)
		synctest.Wait()
		_, err = s.Claim(t.Context(), placed, 1, "w")
		require.ErrorIs(t, err, ci.ErrConflict)
		require.Len(t, s.cluster.Living(), 1)

		t.Log("an agent that stops by itself")
		s.world.cancel(running)
		synctest.Wait()
		require.Equal(t, "canceling", s.code(running))
		ticket, _ := s.backlog.Ticket(running)
		require.True(t, ticket.Canceled)
		got, err := s.Renew(t.Context(), l)
		require.NoError(t, err)
		require.True(t, got.Canceled)
		require.NoError(t, s.Check(l), "the steps that always run still may")
		s.finish(l, ci.Success)
		require.Equal(t, ci.Canceled, s.world.state(running).status, "never later success")
		s.after(time.Second)
		require.Zero(t, s.backlog.Len())
	}, node)
}

func TestP27_CancelOfADeafAgent(t *testing.T) {
	deaf := func(s *stage, _ context.Context, p scheduler.Placement) error {
		for s.cluster.Alive(p) {
			time.Sleep(time.Second)
		}
		return nil
	}
	playAgents(t, scheduler.Config{}, deaf, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{})
		l := s.claim(id, 1)
		s.world.cancel(id)
		s.after(29 * time.Second)
		require.NoError(t, s.Check(l))
		s.after(2 * time.Second)
		require.ErrorIs(t, s.Check(l), ci.ErrConflict)
		require.Empty(t, s.cluster.Living())
		s.after(time.Second)
		require.Zero(t, s.backlog.Len())
		require.Zero(t, s.Snapshot().Nodes[0].Placements)
	}, node)
}

func TestFencedBeforeTheQuestion(t *testing.T) {
	var s *stage
	cfg := scheduler.Config{Begun: func(_ context.Context, id ci.TaskID, _ int64) (bool, error) {
		ticket, _ := s.backlog.Ticket(id)
		require.NotEqual(t, "w", ticket.Worker, "a late write of a step would not be seen")
		return false, nil
	}}
	play(t, cfg, func(t *testing.T, st *stage) {
		s = st
		id := s.queue(ci.Task{})
		s.claim(id, 1)
		s.after(6 * time.Minute)
		require.Equal(t, 1, s.cluster.Submits(id, 2))
	}, node)
}

// A claim that comes while the scheduler stops is answered, although nobody is
// left to tell that the task runs. Whether it is still stored is chance.
func TestP14_ClaimWhileStopping(t *testing.T) {
	stored := 0
	for range 20 {
		play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
			id := s.queue(ci.Task{})
			release := make(chan struct{})
			s.backlog.SetFault(func(string, []ci.Ticket) error {
				<-release
				return nil
			})
			s.queue(ci.Task{}) // its ticket is being written
			s.cancel()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			claimed := make(chan error, 1)
			go func() {
				_, err := s.Claim(ctx, id, 1, "w")
				claimed <- err
			}()
			synctest.Wait()
			close(release)
			if err := <-claimed; err == nil {
				stored++
			}
			require.NoError(t, ctx.Err(), "the claim waits for ever")
		}, node)
	}
	require.Positive(t, stored)
}
