package nomad_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// one is the size of tasks here.
var one = scheduler.Resources{CPU: 1, MemoryMB: 256}

func warmed(n int) nomad.Config {
	return nomad.Config{Warm: []nomad.Warm{{Resources: one, Count: n}}, Secret: make([]byte, 32)}
}

// warmJobs returns the jobs of warm agents that live.
func warmJobs(w *world) []string {
	var all []string
	for id := range w.server.Jobs() {
		if strings.HasPrefix(id, "rondo-warm-") && w.server.Status(id) == "running" {
			all = append(all, id)
		}
	}
	return all
}

// A task is given to an agent that waits, at once; each agent has one task, and
// another one takes its place.
func TestWarm_GivenUsedReplaced(t *testing.T) {
	bubble(t, warmed(3), func(t *testing.T, w *world) {
		time.Sleep(5 * time.Second)
		require.Len(t, warmJobs(w), 3)
		for range 10 {
			before := time.Now()
			p := placement("waits")
			require.NoError(t, w.Submit(t.Context(), p))
			sees(t, w, p, is(scheduler.PlacementRunning))
			synctest.Wait()
			require.Equal(t, 1, w.runs(p))
			require.Zero(t, time.Since(before), "no time passes")
			require.NoError(t, w.Submit(t.Context(), p))
			require.NoError(t, w.Stop(t.Context(), p, time.Minute))
			sees(t, w, p, is(scheduler.PlacementDead))
			require.NoError(t, w.Stop(t.Context(), p, 0))
			time.Sleep(5 * time.Second)
			require.Len(t, warmJobs(w), 3, "replaced")
			require.Equal(t, 1, w.runs(p))
		}
		for id := range w.server.Jobs() {
			require.True(t, strings.HasPrefix(id, "rondo-warm-"), id)
		}
	})
}

// Agents that wait do not hold up a drain, and do not keep a task from the room
// that they have.
func TestWarm_GiveWay(t *testing.T) {
	bubble(t, warmed(6), func(t *testing.T, w *world) {
		time.Sleep(5 * time.Second)
		require.Len(t, warmJobs(w), 6)
		big := placement("waits")
		big.Resources = scheduler.Resources{CPU: 8, MemoryMB: 1024}
		require.NoError(t, w.Submit(t.Context(), big))
		before := time.Now()
		sees(t, w, big, is(scheduler.PlacementRunning))
		require.Less(t, time.Since(before), 10*time.Second)
		require.NoError(t, w.Stop(t.Context(), big, 0))
		sees(t, w, big, is(scheduler.PlacementDead))
		time.Sleep(time.Minute)
		require.Len(t, warmJobs(w), 6, "they come back")

		require.NoError(t, w.Drain(t.Context(), "n1", scheduler.Drain{On: true}))
		time.Sleep(10 * time.Second)
		require.Empty(t, warmJobs(w))
		require.NoError(t, w.Drain(t.Context(), "n1", scheduler.Drain{}))
		time.Sleep(time.Minute)
		require.Len(t, warmJobs(w), 6)
	})
}

// A server that dies between writing down a hand-out and telling the agent: the
// next one tells it, and the task runs once. One that dies after that has
// nothing to tell.
func TestWarm_RestartLosesAndDoublesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := warmed(2)
		docs := memdb.New()
		cfg.Docs = docs
		w := newWorld(t, cfg, direct)
		defer w.server.Close()
		stop := w.run(t)
		time.Sleep(5 * time.Second)

		told, untold := placement("waits"), placement("waits")
		require.NoError(t, w.Submit(t.Context(), told))
		time.Sleep(5 * time.Second)

		// The answers of the door get lost until the server is gone.
		w.lose(true)
		require.NoError(t, w.Submit(t.Context(), untold))
		time.Sleep(time.Second)
		require.Zero(t, w.runs(untold))
		stop()
		w.open(t, cfg, direct(w))
		w.lose(false)
		stop = w.run(t)
		defer stop()
		time.Sleep(30 * time.Second)
		require.Zero(t, w.runs(untold), "the new server does not know the token yet")
		require.NoError(t, w.Submit(t.Context(), untold))
		require.NoError(t, w.Submit(t.Context(), told))
		time.Sleep(30 * time.Second)
		for _, p := range []scheduler.Placement{told, untold} {
			sees(t, w, p, is(scheduler.PlacementRunning))
			require.Equal(t, 1, w.runs(p))
		}
		for id := range w.server.Jobs() {
			require.True(t, strings.HasPrefix(id, "rondo-warm-"), "%s was registered beside its warm agent", id)
		}
		require.Len(t, warmJobs(w), 4, "two that work, two that wait")
	})
}

// An agent that dies while it waits is replaced, with pauses; its task, if it
// has been given one, is dead.
func TestWarm_Death(t *testing.T) {
	bubble(t, warmed(1), func(t *testing.T, w *world) {
		time.Sleep(5 * time.Second)
		w.server.SetNode("n1", "down")
		time.Sleep(time.Second)
		w.server.SetNode("n1", "ready")
		time.Sleep(time.Minute)
		require.Len(t, warmJobs(w), 1)
		p := placement("dies")
		require.NoError(t, w.Submit(t.Context(), p))
		require.Contains(t, sees(t, w, p, is(scheduler.PlacementDead)).Reason, "last words")
	})
}

// When fewer are wanted after a restart, the others are sent away.
func TestWarm_FewerAreWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nomad.Config{}, direct)
		defer w.server.Close()
		docs := memdb.New()
		for _, n := range []int{3, 1, 0} {
			cfg := warmed(n)
			if n == 0 {
				cfg.Warm = nil
			}
			cfg.Docs = docs
			w.open(t, cfg, direct(w))
			stop := w.run(t)
			time.Sleep(30 * time.Second)
			require.Len(t, warmJobs(w), n)
			stop()
		}
	})
}

// Only the agent itself can ask for its task.
func TestWarm_DoorIsShut(t *testing.T) {
	bubble(t, warmed(1), func(t *testing.T, w *world) {
		time.Sleep(5 * time.Second)
		name := strings.TrimPrefix(warmJobs(w)[0], "rondo-warm-")
		for token, want := range map[string]int{"": 401, "Bearer ": 401, "Bearer guess": 401} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://d"+pointer.Path+name, nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", token)
			reply, err := nomadtest.Direct(w.Cluster).Do(req)
			require.NoError(t, err)
			require.Equal(t, want, reply.StatusCode)
			require.NoError(t, reply.Body.Close())
		}
		_, err := pointer.Pointer{Door: "http://d", Warm: name, Token: "guess"}.Await(context.Background(), nomadtest.Direct(w.Cluster))
		require.ErrorContains(t, err, "token is not good")
	})
}
