package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

func TestP14_RestartGoesOn(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		leased, placed := s.queue(ci.Task{}), s.queue(ci.Task{})
		waiting := s.queue(ci.Task{})
		l := s.claim(leased, 1)
		s.world.step(leased, 1)
		s.stop()
		require.Error(t, s.Check(l))
		require.NotErrorIs(t, s.Check(l), ci.ErrConflict, "an agent must not stop because the server does")
		_, err := s.Renew(t.Context(), l)
		require.NotErrorIs(t, err, ci.ErrConflict)
		require.NotErrorIs(t, s.Finish(t.Context(), l, ci.Report{Status: ci.Success}), ci.ErrConflict)

		time.Sleep(20 * time.Minute) // P5.c; the agent has renewed nothing, and lives
		s.start()
		synctest.Wait()
		require.Equal(t, 2, s.cluster.Submits(placed, 1), "again, which is the same placement")
		require.NoError(t, s.Check(l))
		s.claim(placed, 1)
		require.Equal(t, "capacity", s.code(waiting))
		s.finish(l, ci.Success)
		require.Equal(t, "placed", s.code(waiting))
		s.restart()
		require.ErrorIs(t, s.Check(l), ci.ErrConflict)
		require.Equal(t, 2, s.backlog.Len())

		t.Log("agents that died meanwhile")
		s.stop()
		s.cluster.Die(placed, 1, "gone")
		s.cluster.Lose(waiting, 1)
		s.start()
		s.after(time.Minute)
		require.Equal(t, 1, s.cluster.Submits(placed, 2))
		require.Equal(t, 3, s.cluster.Submits(waiting, 1), "not claimed: the same hand-out again")
	}, node)
}

func TestCallsBeforeTheTicketsAreLoaded(t *testing.T) {
	s := scheduler.New(new(schedulertest.Backlog), schedulertest.NewCluster(nil), newWorld().report, scheduler.Config{})
	l := ci.Lease{Task: "j.0", Epoch: 1, Worker: "w"}
	require.Error(t, s.Check(l))
	require.NotErrorIs(t, s.Check(l), ci.ErrConflict)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Claim(ctx, "j.0", 1, "w")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Run(ctx, newWorld().follow))
	require.ErrorIs(t, s.Run(ctx, newWorld().follow), ci.ErrConflict)
}

func TestEventsThriceAreOneTicket(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{})
		s.world.mu.Lock()
		s.world.emit(ci.Event{Kind: ci.JobQueued}) // makes no sense
		again := s.world.events[0]
		s.world.emit(again)
		s.world.mu.Unlock()
		synctest.Wait()
		require.Equal(t, 1, s.backlog.Len())
		s.finish(s.claim(id, 1), ci.Success)
		s.after(time.Minute)
		cursor, _ := s.backlog.Cursor(t.Context())
		require.Equal(t, uint64(4), cursor, "also without tickets")
		s.restart()
		require.Zero(t, s.backlog.Len())
	}, node)
}

func TestPoisonTicketDoesNotStopTheOthers(t *testing.T) {
	for name, cause := range map[string]error{"refused": ci.ErrInvalid, "fails": errors.New("row too long")} {
		t.Run(name, func(t *testing.T) {
			play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
				s.backlog.SetFault(func(op string, tickets []ci.Ticket) error {
					for _, ticket := range tickets {
						if ticket.Task.Name == "poison" {
							return cause
						}
					}
					return nil
				})
				bad := s.queue(ci.Task{Name: "poison"})
				good := s.queue(ci.Task{})
				s.after(time.Minute)
				require.Equal(t, 1, s.cluster.Submits(good, 1))
				for range 10 { // others are written meanwhile
					s.queue(ci.Task{})
					s.after(time.Minute)
				}
				state := s.world.state(bad)
				require.Equal(t, ci.InfraFailed, state.status)
				require.Contains(t, state.reason, "could not be written")
				require.Zero(t, s.cluster.Submits(bad, 1), "nothing is submitted that is not durable")
			}, schedulertest.Node("n1", 64, 131072))
		})
	}
}

func TestDamagedTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(), new(schedulertest.Backlog)
		task := ci.Task{Job: "j", Project: "p", Workflow: "w", Total: 4}
		odd := ci.Ticket{Task: task.Slice(0), State: "odd"}
		alien := ci.Ticket{Task: task.Slice(1), State: ci.TicketWaiting}
		alien.Task.ID = "no slice"
		good := ci.Ticket{Task: task.Slice(2), State: ci.TicketWaiting, Epoch: 8}
		fenced := ci.Ticket{Task: task.Slice(3), State: ci.TicketLeased, Epoch: 2, Worker: "(lost)"}
		require.NoError(t, b.Put(t.Context(), 0, odd, alien, good, fenced))
		for _, ticket := range []ci.Ticket{odd, good, fenced} {
			w.tasks[ticket.Task.ID] = &taskState{status: ci.Queued}
			w.jobs["j"] = append(w.jobs["j"], ticket.Task.ID)
		}
		c := schedulertest.NewCluster(nil, node)
		ctx, cancel := context.WithCancel(t.Context())
		s := scheduler.New(b, c, w.report, scheduler.Config{Begun: w.hasBegun})
		done := make(chan error)
		go func() { done <- s.Run(ctx, w.follow) }()
		time.Sleep(time.Second)
		require.Equal(t, ci.InfraFailed, w.state(odd.Task.ID).status)
		require.Equal(t, 1, c.Submits(good.Task.ID, 9))
		require.Equal(t, 1, c.Submits(fenced.Task.ID, 3), "it had not begun")
		require.Equal(t, 2, b.Len())
		cancel()
		require.NoError(t, <-done)
	})
}

func TestBacklogThatFailsForAWhile(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		var down atomic.Bool
		down.Store(true)
		s.backlog.SetFault(func(string, []ci.Ticket) error {
			if down.Load() {
				return errors.New("disk I/O error")
			}
			return nil
		})
		id := s.queue(ci.Task{})
		s.after(10 * time.Minute)
		require.Zero(t, s.cluster.Submits(id, 1))
		down.Store(false)
		s.after(time.Minute)
		require.Equal(t, 1, s.cluster.Submits(id, 1))
		down.Store(true)
		_, err := s.Claim(t.Context(), id, 1, "w")
		require.ErrorContains(t, err, "disk I/O error")
		require.NotErrorIs(t, err, ci.ErrConflict)
		down.Store(false)
		s.claim(id, 1)
	}, node)
}

func TestSlowNodeHoldsNobodyElse(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		stuck := make(chan struct{})
		s.cluster.SetFault(func(op string, p scheduler.Placement) error {
			if op == "submit" && p.Node == "n1" {
				<-stuck
			}
			return nil
		})
		s.queue(ci.Task{Total: 40})
		require.Len(t, s.cluster.Living(), 20)
		close(stuck)
		synctest.Wait()
		require.Len(t, s.cluster.Living(), 40)
	}, schedulertest.Node("n1", 40, 81920), schedulertest.Node("n2", 40, 81920))
}

func TestOrphansAreKilled(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		stray := scheduler.Placement{Task: ci.Task{Job: "old"}.Slice(0), Epoch: 4, Node: "n1"}
		require.NoError(t, s.cluster.Submit(t.Context(), stray))
		s.after(20 * time.Second)
		require.True(t, s.cluster.Alive(stray), "it may be about to end")
		s.after(30 * time.Second)
		require.False(t, s.cluster.Alive(stray))
		n := 0
		for range s.cluster.Placements(t.Context()) {
			n++
		}
		require.Zero(t, n, "and forgotten")
	}, node)
}

func TestInterrupt(t *testing.T) {
	agent := func(s *stage, ctx context.Context, p scheduler.Placement) error {
		if p.Task.Name == "unclaimed" {
			<-ctx.Done()
			return nil
		}
		l, err := s.Claim(ctx, p.Task.ID, p.Epoch, "w")
		if err != nil {
			return err
		}
		s.world.step(p.Task.ID, p.Epoch)
		switch p.Task.Name {
		case "deaf":
			for s.cluster.Alive(p) {
				time.Sleep(time.Second)
			}
			return nil
		case "ends":
			<-ctx.Done()
			return s.Finish(context.Background(), l, ci.Report{Status: ci.Failed})
		}
		<-ctx.Done()
		time.Sleep(time.Second)
		return s.Finish(context.Background(), l, ci.Report{Status: ci.Canceled})
	}
	playAgents(t, scheduler.Config{CancelGrace: 5 * time.Second}, agent, func(t *testing.T, s *stage) {
		ids := map[string]ci.TaskID{}
		for _, name := range []string{"graceful", "deaf", "ends", "unclaimed"} {
			ids[name] = s.queue(ci.Task{Name: name})
		}
		began := time.Now()
		require.NoError(t, s.Interrupt(t.Context(), "Ctrl-C was pressed"))
		require.Less(t, time.Since(began), 10*time.Second)
		require.Empty(t, s.cluster.Living())
		for _, name := range []string{"graceful", "deaf"} {
			state := s.world.state(ids[name])
			require.Equal(t, ci.Queued, state.status, name)
			require.Equal(t, "interrupted: Ctrl-C was pressed; its steps will run again from the first one", state.reason)
		}
		require.Equal(t, ci.Queued, s.world.state(ids["unclaimed"]).status)
		require.Equal(t, ci.Failed, s.world.state(ids["ends"]).status, "it ended by itself")
		require.Equal(t, "paused", s.code(ids["deaf"]))
		id := s.queue(ci.Task{})
		require.Equal(t, "paused", s.code(id))
		require.NoError(t, s.Interrupt(t.Context(), "again"))

		s.restart()
		for _, name := range []string{"graceful", "deaf", "unclaimed"} {
			require.Equal(t, 1, s.cluster.Submits(ids[name], 2), name)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, s.Interrupt(ctx, "the test ends"))
	}, schedulertest.Node("n1", 64, 131072))
}

func BenchmarkThroughput(b *testing.B) {
	for _, queued := range []int{1_000, 100_000} { // P21.b
		b.Run(fmt.Sprint(queued, " queued"), func(b *testing.B) {
			w, backlog := newWorld(), new(schedulertest.Backlog)
			var s *scheduler.Scheduler
			done := make(chan struct{}, 1024)
			c := schedulertest.NewCluster(func(ctx context.Context, p scheduler.Placement) error {
				l, err := s.Claim(ctx, p.Task.ID, p.Epoch, "w")
				if err == nil {
					err = s.Finish(ctx, l, ci.Report{Status: ci.Success})
				}
				done <- struct{}{}
				return err
			})
			s = scheduler.New(backlog, c, func(context.Context, ci.Report) error { return nil }, scheduler.Config{})
			ctx, cancel := context.WithCancel(b.Context())
			stopped := make(chan error)
			go func() { stopped <- s.Run(ctx, w.follow) }()
			for i := range queued/10 + b.N/10 + 1 {
				w.queue(ci.Task{Project: ci.ProjectID(fmt.Sprint("p", i%50)), Total: 10})
			}
			for s.Snapshot().Run < queued {
				time.Sleep(time.Millisecond)
			}
			b.ResetTimer()
			c.SetNodes(schedulertest.Node("n1", 8, 16384))
			for range b.N {
				<-done
			}
			b.StopTimer()
			cancel()
			<-stopped
		})
	}
}

func BenchmarkEventToSubmit(b *testing.B) {
	w := newWorld()
	submitted := make(chan scheduler.Placement)
	c := schedulertest.NewCluster(func(ctx context.Context, p scheduler.Placement) error {
		submitted <- p
		<-ctx.Done()
		return nil
	}, schedulertest.Node("n1", 1e9, 1e9))
	s := scheduler.New(new(schedulertest.Backlog), c, w.report, scheduler.Config{})
	ctx, cancel := context.WithCancel(b.Context())
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx, w.follow) }()
	for b.Loop() {
		id := w.queue(ci.Task{})
		p := <-submitted
		b.StopTimer()
		l, err := s.Claim(ctx, p.Task.ID, p.Epoch, "w")
		require.NoError(b, err)
		require.NoError(b, s.Finish(ctx, l, ci.Report{Status: ci.Success}))
		require.Equal(b, id, p.Task.ID)
		c.Die(id, 1, "the agent ended")
		b.StartTimer()
	}
	cancel()
	<-stopped
}

// A task that has ended, of a job that has not, does not run again because the
// process was killed before it removed the ticket, and the next one is stopped
// in order. (Found by TestFault_P4b_Histories.)
func TestP6_EndedTaskIsNotInterrupted(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		first := s.queue(ci.Task{Total: 2, Class: "small"})
		l := s.claim(first, 1)
		s.world.step(first, 1)
		s.backlog.SetFault(func(op string, _ []ci.Ticket) error {
			if op == "remove" {
				return errors.New("the process is killed before this")
			}
			return nil
		})
		s.finish(l, ci.Success)
		s.stop()
		s.backlog.SetFault(nil)
		_, left := s.backlog.Ticket(first)
		require.True(t, left)

		s.start()
		synctest.Wait()
		require.NoError(t, s.Interrupt(t.Context(), "an upgrade"))
		s.restart()
		s.after(time.Minute)
		require.Zero(t, s.cluster.Submits(first, 2), "it has succeeded")
		_, left = s.backlog.Ticket(first)
		require.False(t, left)
	}, node)
}
