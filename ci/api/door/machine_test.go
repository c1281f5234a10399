package door_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
)

// A garage has one machine, from the moment on that ready says.
type garage struct {
	ready    time.Time
	asked    []string
	released []string
	err      error
}

func (g *garage) On() bool { return true }

func (g *garage) Claim(_ context.Context, task ci.TaskID, epoch int64, p ci.ProjectID, trust string, need ci.MachineNeed) (ci.Machine, error) {
	g.asked = append(g.asked, fmt.Sprintf("%s %d %s %s %s", task, epoch, p, trust, need.Kind))
	if g.err != nil || time.Now().Before(g.ready) {
		return ci.Machine{Reason: "it boots"}, g.err
	}
	return ci.Machine{Ready: true, ID: "m1", Docker: &ci.DockerAccess{Host: "tcp://m1:2376"}}, nil
}

func (g *garage) Release(_ context.Context, task ci.TaskID, epoch int64) error {
	g.released = append(g.released, fmt.Sprintf("%s %d", task, epoch))
	return nil
}

var need = ci.MachineNeed{Kind: ci.MachineForDocker}

func TestVMS07_MachineByTheDoor(t *testing.T) {
	w := newWorld()
	l := w.hand("test.0", 1, "a")
	g := &garage{}
	c := overTCP(t, w, door.Config{Machines: g})("test.0", 1).(*door.Client)
	m, err := c.Machine(t.Context(), l, need)
	require.NoError(t, err)
	require.Equal(t, "tcp://m1:2376", m.Docker.Host)
	require.Equal(t, "test.0 1 p1 branch remote_docker", g.asked[0], "project and trust are the server's own knowledge")

	_, err = c.Machine(t.Context(), ci.Lease{Task: "test.0", Epoch: 1, Worker: "another"}, need)
	require.ErrorIs(t, err, ci.ErrConflict, "a lease that is not the current one")
	g.err = fmt.Errorf("the provider ended it: %w", ci.ErrConflict)
	_, err = c.Machine(t.Context(), l, need)
	require.ErrorIs(t, err, ci.ErrNotFound, "the lease holds, the machine does not")
	require.NotErrorIs(t, err, ci.ErrConflict)

	require.NoError(t, c.Finish(t.Context(), l, ci.Report{Status: ci.Success}))
	require.Equal(t, []string{"test.0 1"}, g.released, "it ends with the task")

	none := overTCP(t, w, door.Config{})("other.0", 1).(*door.Client)
	_, err = none.Machine(t.Context(), w.hand("other.0", 1, "a"), need)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "this installation has no machines")
}

func TestVMS07_MachineIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		began := time.Now()
		d := newDoor(w, door.Config{Machines: &garage{ready: began.Add(25 * time.Second)}})
		l := w.hand("test.0", 1, "a")
		m, err := d.Machine(t.Context(), l, need)
		require.NoError(t, err)
		require.False(t, m.Ready)
		require.Equal(t, "it boots", m.Reason)
		require.Less(t, time.Since(began), 21*time.Second, "an answer comes before a proxy gives up")
		m, err = d.Machine(t.Context(), l, need)
		require.NoError(t, err)
		require.True(t, m.Ready)
	})
}

// Trust is what the pipeline is of, not what anybody says.
func TestDLC03_Trust(t *testing.T) {
	w := newWorld()
	g := &garage{}
	d := newDoor(w, door.Config{Machines: g})
	for task, change := range map[ci.TaskID]func(*ci.Work){
		"a.0": func(x *ci.Work) { x.Project.DefaultBranch = "main" },
		"b.0": func(x *ci.Work) { x.Project.DefaultBranch = "trunk" },
		"c.0": func(x *ci.Work) { x.Project.DefaultBranch = "main"; x.Pipeline.Trigger.Fork = "eve/shop" },
		"d.0": func(x *ci.Work) { x.Pipeline.Trigger = ci.Trigger{Tag: "v1"} },
	} {
		w.add(task, "p1")
		work := w.work[task]
		change(&work)
		w.work[task] = work
		_, err := d.Machine(t.Context(), w.hand(task, 1, "a"), need)
		require.NoError(t, err)
	}
	require.ElementsMatch(t, []string{
		"a.0 1 p1 default remote_docker", "b.0 1 p1 branch remote_docker", "c.0 1 p1 fork remote_docker", "d.0 1 p1 branch remote_docker",
	}, g.asked)
}
