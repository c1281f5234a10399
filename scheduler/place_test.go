package scheduler_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// runs returns an agent that runs each task for the time that its name says.
func runs(log *[]string) func(*stage, context.Context, scheduler.Placement) error {
	return func(s *stage, ctx context.Context, p scheduler.Placement) error {
		l, err := s.Claim(ctx, p.Task.ID, p.Epoch, "w")
		if err != nil {
			return err
		}
		if log != nil {
			s.world.mu.Lock()
			*log = append(*log, string(p.Task.Project)+"/"+string(p.Task.ID))
			s.world.mu.Unlock()
		}
		d, err := time.ParseDuration(p.Task.Name)
		if err != nil {
			d = time.Minute
		}
		for ; d > 0; d -= 10 * time.Second {
			time.Sleep(min(d, 10*time.Second))
			if l, err = s.Renew(ctx, l); err != nil {
				return err
			}
		}
		return s.Finish(ctx, l, ci.Report{Status: ci.Success})
	}
}

func TestSCH02_OneTicketForEachSlice(t *testing.T) {
	for _, total := range []int{1, 10, 50} {
		play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
			s.queue(ci.Task{Job: "j", Total: total})
			require.Len(t, s.cluster.Living(), total)
			for i := range total {
				require.Equal(t, 1, s.cluster.Submits(ci.JobID("j").Task(i), 1))
			}
			require.Equal(t, total, s.backlog.Len())
			require.Equal(t, 1, s.backlog.Writes(), "one transaction")
		}, schedulertest.Node("n1", 200, 400000))
	}
}

func TestP21c_FloodOfOneDoesNotDelayAnother(t *testing.T) {
	playAgents(t, scheduler.Config{}, runs(nil), func(t *testing.T, s *stage) {
		for range 500 {
			s.world.queue(ci.Task{Project: "flood", Org: "flood"})
		}
		s.after(10 * time.Minute)
		began := time.Now()
		id := s.queue(ci.Task{Project: "other", Org: "other", Name: "1s"})
		for s.world.state(id).status != ci.Success {
			s.after(time.Second)
		}
		require.LessOrEqual(t, time.Since(began), 62*time.Second, "the next free place is its own")
	}, schedulertest.Node("n1", 8, 16384))
}

func TestFairBetweenProjects(t *testing.T) {
	for name, test := range map[string]struct {
		weight func(ci.ProjectID) float64
		nodes  []scheduler.Node
		want   int // tasks of "b" among the first 30
	}{
		"equal":          {nil, []scheduler.Node{schedulertest.Node("n1", 8, 16384)}, 15},
		"one place":      {nil, []scheduler.Node{schedulertest.Node("n1", 2, 4096)}, 15},
		"weight 1 and 2": {func(p ci.ProjectID) float64 { return map[ci.ProjectID]float64{"a": 1, "b": 2}[p] }, []scheduler.Node{schedulertest.Node("n1", 6, 12288)}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			var log []string
			playAgents(t, scheduler.Config{Weight: test.weight}, runs(&log), func(t *testing.T, s *stage) {
				s.cluster.SetNodes()
				s.after(time.Second)
				for range 30 {
					s.world.queue(ci.Task{Project: "a"})
				}
				for range 30 {
					s.world.queue(ci.Task{Project: "b"})
				}
				s.cluster.SetNodes(test.nodes...)
				s.after(2 * time.Hour)
				require.Len(t, log, 60)
				require.InDelta(t, test.want, strings.Count(strings.Join(log[:30], " "), "b/"), 1)
			})
		})
	}
}

func TestFIFOWithinAProject(t *testing.T) {
	var log []string
	playAgents(t, scheduler.Config{}, runs(&log), func(t *testing.T, s *stage) {
		var want []string
		for range 10 {
			want = append(want, "p1/"+string(s.queue(ci.Task{Total: 1})))
		}
		s.after(time.Hour)
		require.Equal(t, want, log)
	}, schedulertest.Node("n1", 2, 4096))
}

func TestUsageQueue_LimitOfAnOrganisation(t *testing.T) {
	playAgents(t, scheduler.Config{OrgLimit: 2}, runs(nil), func(t *testing.T, s *stage) {
		var ids []ci.TaskID
		for range 8 {
			ids = append(ids, s.queue(ci.Task{Org: "acme"}))
		}
		other := s.queue(ci.Task{Org: "zen", Project: "p2"})
		require.Equal(t, "running", s.code(other))
		require.Equal(t, "usage_limit", s.code(ids[2]))
		r, err := s.Explain(t.Context(), ids[7])
		require.NoError(t, err)
		require.Equal(t, 6, r.Position)
		require.Contains(t, r.Text, "acme has 2 tasks running, of 2")

		first, last, total := s.Queue(scheduler.UsageQueue, 3) // QUE-01, QUE-02
		require.Equal(t, 6, total)
		require.Equal(t, ids[2:5], taskIDs(first))
		require.Equal(t, ids[5:8], taskIDs(last))
		_, _, total = s.Queue(scheduler.RunQueue, 3)
		require.Zero(t, total)
		snap := s.Snapshot()
		require.Equal(t, 6, snap.Usage)
		require.Equal(t, scheduler.OrgCount{Usage: 6, Active: 2}, snap.Orgs["acme"])

		for s.world.all()[ci.Success] < 9 {
			s.after(10 * time.Second)
			require.LessOrEqual(t, s.Snapshot().Orgs["acme"].Active, 2)
		}
	}, schedulertest.Node("n1", 64, 131072))
}

func TestQUE03_Promote(t *testing.T) {
	play(t, scheduler.Config{OrgLimit: 1}, func(t *testing.T, s *stage) {
		for range 10 {
			s.queue(ci.Task{})
		}
		require.Equal(t, 0, s.Promote("nobody", 5))
		require.Equal(t, 3, s.Promote("acme", 3))
		synctest.Wait()
		require.Len(t, s.cluster.Living(), 4)
		require.Equal(t, 6, s.Snapshot().Usage)
		require.Equal(t, 6, s.Promote("acme", 100))
		require.Equal(t, 0, s.Promote("acme", 100), "once")
	}, schedulertest.Node("n1", 64, 131072))
}

func taskIDs(tickets []ci.Ticket) []ci.TaskID {
	var ids []ci.TaskID
	for _, t := range tickets {
		ids = append(ids, t.Task.ID)
	}
	return ids
}

func TestSCH01_BestFitAndNeverOvercommitted(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		s.queue(ci.Task{Class: "small"})
		s.queue(ci.Task{Class: "large"})
		s.queue(ci.Task{Class: "medium"})
		var nodes []string
		for _, p := range s.cluster.Living() {
			nodes = append(nodes, p.Task.Class+" on "+p.Node)
		}
		require.Equal(t, []string{"small on n1", "large on n2", "medium on n1"}, nodes)
		s.queue(ci.Task{Class: "small", Total: 20})
		for _, n := range s.Snapshot().Nodes {
			require.LessOrEqual(t, n.Used.CPU, n.Capacity.CPU)
			require.LessOrEqual(t, n.Used.MemoryMB, n.Capacity.MemoryMB)
		}
	}, schedulertest.Node("n2", 8, 16384), schedulertest.Node("n1", 4, 8192))
}

func TestBigClassIsNotStarved(t *testing.T) {
	playAgents(t, scheduler.Config{}, runs(nil), func(t *testing.T, s *stage) {
		// Smalls of many projects that always have work, and one that wants
		// the whole node.
		for i := range 400 {
			s.world.queue(ci.Task{Project: ci.ProjectID(fmt.Sprint("p", i%20)), Class: "small", Name: fmt.Sprint(20+i%17, "s")})
		}
		s.after(30 * time.Second)
		big := s.queue(ci.Task{Project: "big", Class: "xlarge"})
		s.after(time.Minute)
		require.NotEqual(t, ci.Queued, s.world.state(big).status)
		s.after(time.Hour)
		require.Equal(t, 401, s.world.all()[ci.Success])
	}, schedulertest.Node("n1", 8, 16384))
}

func TestBackfillOnlyInSpareRoom(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		first := s.queue(ci.Task{Class: "large", Project: "a"}) // 4 of 8
		big := s.queue(ci.Task{Class: "medium+", Project: "b"})
		s.claim(first, 1)
		l := s.claim(big, 1)
		// 1 CPU is left. A project in its turn wants 4; others fit.
		want := s.queue(ci.Task{Class: "large", Project: "c"})
		small := s.queue(ci.Task{Class: "small", Project: "d"})
		require.Equal(t, "capacity", s.code(want))
		require.Equal(t, "placed", s.code(small), "8 - 4 is spare beside the reservation")
		s.queue(ci.Task{Class: "large", Project: "e"})
		s.finish(l, ci.Success) // 3 are free: what is reserved may not be nibbled at
		tiny := s.queue(ci.Task{Class: "medium", Project: "f"})
		require.Equal(t, "placed", s.code(tiny), "its turn is as good, and 3 are spare")
		nibble := s.queue(ci.Task{Class: "small", Project: "f"})
		require.Equal(t, "placed", s.code(nibble))
		s.after(2 * time.Minute)
		s.finish(s.claim(small, 1), ci.Success)
		late := s.queue(ci.Task{Class: "small", Project: "g"})
		require.Contains(t, []string{"reserved", "placed"}, s.code(late))
		s.finish(ci.Lease{Task: first, Epoch: 1, Worker: "w"}, ci.Success)
		require.Equal(t, "placed", s.code(want), "the room that was kept is its own")
	}, schedulertest.Node("n1", 8, 16384))
}

func TestARC03_Classes(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{})
		require.Equal(t, scheduler.Resources{CPU: 2, MemoryMB: 4096}, s.cluster.Living()[0].Resources, "medium is the default")
		require.Equal(t, "placed", s.code(id))

		id = s.queue(ci.Task{Class: "huge"})
		state := s.world.state(id)
		require.Equal(t, ci.Failed, state.status)
		require.Contains(t, state.reason, `there is no resource class "huge"; there are: small, medium, arm.medium, medium+, large`)

		id = s.queue(ci.Task{Class: "2xlarge", Total: 3})
		state = s.world.state(id)
		require.Equal(t, ci.InfraFailed, state.status)
		require.Equal(t, "resource class 2xlarge needs 16 CPU, 32768 MB, and the biggest node, n1, has 4 CPU, 8192 MB", state.reason)
		s.after(time.Second)
		require.Equal(t, 1, s.backlog.Len())
	}, node)

	play(t, scheduler.Config{Elastic: true}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{Class: "2xlarge"})
		require.Equal(t, "class_too_big", s.code(id))
		s.cluster.SetNodes(node, schedulertest.Node("n2", 16, 32768))
		synctest.Wait()
		require.Equal(t, "placed", s.code(id))
	}, node)

	clamp := node
	clamp.Clamp = true
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		s.queue(ci.Task{Class: "2xlarge"})
		require.Equal(t, node.Capacity, s.cluster.Living()[0].Resources, "it gets the whole machine")
	}, clamp)

	t.Log("nodes that shrink")
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{Class: "large"})
		require.Equal(t, "no_nodes", s.code(id), "nothing is known, so nothing is too big")
		s.cluster.SetNodes(schedulertest.Node("n1", 2, 4096))
		synctest.Wait()
		require.Equal(t, ci.InfraFailed, s.world.state(id).status)
	})
}

func TestSCH12_PendingReason(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{})
		require.Equal(t, "no_nodes", s.code(id))

		down := node
		down.State, down.Reason = scheduler.NodeDown, "its certificate has expired"
		s.cluster.SetNodes(down)
		synctest.Wait()
		require.Equal(t, "nodes_down", s.code(id))
		r, _ := s.Explain(t.Context(), id)
		require.Contains(t, r.Text, "n1 says its certificate has expired")

		down.State = scheduler.NodeDraining
		s.cluster.SetNodes(down)
		synctest.Wait()
		require.Equal(t, "draining", s.code(id))
	})
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) { // SCH-17
		for range 2 {
			s.queue(ci.Task{})
		}
		id := s.queue(ci.Task{Total: 5})
		r, err := s.Explain(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, "capacity", r.Code)
		require.Equal(t, 1, r.Position)
		require.Contains(t, r.Text, "All 1 ready nodes are full: 2 tasks run; it needs 2 CPU, 4096 MB")
		require.Contains(t, r.Text, "3 more nodes of 4 CPUs and 8192 MB, like node n1, would start all that waits")
		require.Equal(t, 3, s.Snapshot().Missing)
		r, _ = s.Explain(t.Context(), "job-0003.4")
		require.Equal(t, 5, r.Position)
	}, node)
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		s.cluster.SetFault(func(op string, _ scheduler.Placement) error { return fmt.Errorf("no route to host") })
		s.after(6 * time.Second)
		require.Equal(t, "capacity", func() string {
			s.queue(ci.Task{Total: 2})
			return s.code(s.queue(ci.Task{}))
		}(), "what is known of the nodes still holds")
	}, node)
}

func TestSCH15_Drain(t *testing.T) {
	playAgents(t, scheduler.Config{}, runs(nil), func(t *testing.T, s *stage) {
		for range 7 {
			s.queue(ci.Task{})
		}
		require.NoError(t, s.cluster.Drain(t.Context(), "n1", scheduler.Drain{On: true}))
		synctest.Wait()
		require.False(t, s.Snapshot().Nodes[0].SafeToTerminate)
		s.after(10 * time.Minute)
		require.Equal(t, 2, s.world.all()[ci.Success])
		require.Equal(t, 5, s.world.all()[ci.Queued])
		require.True(t, s.Snapshot().Nodes[0].SafeToTerminate)
		require.NoError(t, s.cluster.Drain(t.Context(), "n1", scheduler.Drain{}))
		s.after(10 * time.Minute)
		require.Equal(t, 7, s.world.all()[ci.Success])
	}, node)
}

func TestPredictedStart(t *testing.T) {
	playAgents(t, scheduler.Config{}, runs(nil), func(t *testing.T, s *stage) {
		first := s.queue(ci.Task{Name: "10m"})
		s.queue(ci.Task{Name: "10m"})
		r, _ := s.Explain(t.Context(), s.queue(ci.Task{Name: "10m"}))
		require.Zero(t, r.Starts, "nothing has run yet, there is no telling")
		s.after(11 * time.Minute)
		require.Equal(t, ci.Success, s.world.state(first).status)
		s.queue(ci.Task{Name: "10m"})
		third := s.queue(ci.Task{Name: "10m"})
		s.after(2 * time.Minute)
		r, err := s.Explain(t.Context(), third)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(7*time.Minute), r.Starts, 3*time.Second)
		expected := r.Starts
		for s.world.state(third).status == ci.Queued {
			s.after(time.Second)
		}
		require.WithinDuration(t, expected, time.Now(), 5*time.Second)
	}, node)
}
