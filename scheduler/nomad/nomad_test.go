package nomad_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// bubble runs a test over a fake without a network, in virtual time.
func bubble(t *testing.T, cfg nomad.Config, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		cfg.Docs = memdb.New()
		test(t, newWorld(t, cfg, direct).start(t))
	})
}

// The job of a task is what the guide says, and nothing that Nomad would do by
// itself with a batch job is on.
func TestSCH18_TheJob(t *testing.T) {
	bubble(t, nomad.Config{Nodes: nomad.Nodes{Class: "", Pool: "default"}}, func(t *testing.T, w *world) {
		p := placement("ends")
		p.Task.Queued = time.Unix(0x5a4ea06b, 0)
		require.NoError(t, w.Submit(t.Context(), p))
		jobs := w.server.Jobs()
		require.Len(t, jobs, 1)
		id := scheduler.JobIDOf(p.Task, p.Epoch)
		j, ok := jobs[id.String()]
		require.True(t, ok)
		require.Regexp(t, `^5a4ea06b[0-9a-f]{16}-0-build-ac-me-sh-op-7$`, *j.ID)
		require.Equal(t, "batch 50", fmt.Sprintf("%s %d", *j.Type, *j.Priority))
		require.Equal(t, []string{"*"}, j.Datacenters)
		group := j.TaskGroups[0]
		require.Zero(t, *group.RestartPolicy.Attempts)
		require.Zero(t, *group.Tasks[0].RestartPolicy.Attempts)
		require.Zero(t, *group.ReschedulePolicy.Attempts)
		require.False(t, *group.ReschedulePolicy.Unlimited)
		require.False(t, *group.Disconnect.Replace)
		require.GreaterOrEqual(t, *group.Tasks[0].KillTimeout, 30*time.Second)
		require.Equal(t, 256, *group.Tasks[0].Resources.MemoryMB)
		require.Equal(t, 1, *group.Tasks[0].Resources.Cores)
		for key, value := range j.Meta {
			require.NotContains(t, value, p.Token, key)
		}
		require.Equal(t, 1, w.server.Starts(*j.ID))
	})
}

// Nomad's defaults would run a task that dies again; the fake does too, and
// sees that ours does not.
func TestSCH02_DeathIsNoRestart(t *testing.T) {
	bubble(t, nomad.Config{}, func(t *testing.T, w *world) {
		p := placement("dies")
		require.NoError(t, w.Submit(t.Context(), p))
		dead := sees(t, w, p, is(scheduler.PlacementDead))
		require.Equal(t, "the agent ended with status 3; it said last: these are my last words", dead.Reason)
		time.Sleep(time.Hour)
		require.Equal(t, 1, w.runs(p))
	})
}

// Why a job waits, for each of the four reasons.
func TestSCH12_WhyItWaits(t *testing.T) {
	bubble(t, nomad.Config{}, func(t *testing.T, w *world) {
		big := placement("ends")
		big.Resources, big.Node = scheduler.Resources{CPU: 4, MemoryMB: 40000}, ""
		require.NoError(t, w.Submit(t.Context(), big))
		got := sees(t, w, big, says("short of memory"))
		require.Equal(t, "1 client is short of memory; it needs 4 CPU, 40000 MB", got.Reason)
		require.Equal(t, scheduler.PlacementPending, got.State)

		require.NoError(t, w.Drain(t.Context(), "n1", scheduler.Drain{On: true}))
		small := placement("ends")
		small.Node = ""
		require.NoError(t, w.Submit(t.Context(), small))
		got = sees(t, w, small, says("drain"))
		require.Equal(t, "all 1 client drains and takes nothing new", got.Reason)

		require.NoError(t, w.Drain(t.Context(), "n1", scheduler.Drain{}))
		sees(t, w, small, is(scheduler.PlacementDead))
	})
	bubble(t, nomad.Config{}, func(t *testing.T, w *world) {
		w.server.SetNode("n1", api.NodeStatusDown)
		p := placement("ends")
		p.Node = ""
		require.NoError(t, w.Submit(t.Context(), p))
		got := sees(t, w, p, says("no client"))
		require.Equal(t, "Nomad has no client in node pool default that is ready", got.Reason)
	})
	bubble(t, nomad.Config{}, func(t *testing.T, w *world) {
		w.server.SetNode("n1", api.NodeStatusDown)
		w.server.AddNode("w1", 10, 40000, func(n *api.NodeListStub) { n.Attributes["kernel.name"] = "windows" })
		p := placement("ends")
		p.Node = ""
		require.NoError(t, w.Submit(t.Context(), p))
		got := sees(t, w, p, says("excluded"))
		require.Equal(t, `none of 1 client is fit, 1 is excluded by "${attr.kernel.name} = linux"; it needs 1 CPU, 256 MB`, got.Reason)
	})
}

// Nodes say why they take nothing, and keep back what is theirs (ARC-09).
func TestSCH16_Nodes(t *testing.T) {
	bubble(t, nomad.Config{Nodes: nomad.Nodes{Class: "linux-64bit"}}, func(t *testing.T, w *world) {
		class := func(change func(*api.NodeListStub)) func(*api.NodeListStub) {
			return func(n *api.NodeListStub) {
				n.NodeClass = "linux-64bit"
				if change != nil {
					change(n)
				}
			}
		}
		w.server.AddNode("a", 8, 32768, class(nil))
		w.server.AddNode("b", 8, 32768, class(func(n *api.NodeListStub) { n.Status = "initializing" }))
		w.server.AddNode("c", 8, 32768, class(func(n *api.NodeListStub) { n.Drivers = nil }))
		w.server.AddNode("d", 8, 32768, class(func(n *api.NodeListStub) {
			n.Drivers["raw_exec"].Healthy, n.Drivers["raw_exec"].HealthDescription = false, "disabled"
		}))
		w.server.AddNode("e", 8, 32768, class(func(n *api.NodeListStub) { n.SchedulingEligibility = api.NodeSchedulingIneligible }))
		w.server.AddNode("f", 8, 32768, class(func(n *api.NodeListStub) { // reserves more than we do
			n.NodeResources.Cpu.ReservableCpuCores = n.NodeResources.Cpu.ReservableCpuCores[:4]
			n.ReservedResources = &api.NodeReservedResources{Memory: api.NodeReservedMemoryResources{MemoryMB: 8192}}
		}))
		w.server.AddNode("a", 2, 2048, class(nil))
		nodes, err := w.Nodes(t.Context())
		require.NoError(t, err)
		var lines []string
		for _, n := range nodes {
			require.Equal(t, "linux-64bit dc1", n.Class+" "+n.Datacenter)
			lines = append(lines, fmt.Sprintf("%s: %s, %s, %s", n.Name, n.State, n.Capacity, n.Reason))
		}
		require.Equal(t, []string{
			"a-00000002: ready, 6 CPU, 28672 MB, ",
			"a-00000008: ready, 0 CPU, 0 MB, ",
			"b: down, 6 CPU, 28672 MB, Nomad calls it initializing",
			"c: down, 6 CPU, 28672 MB, its client has no driver raw_exec",
			"d: down, 6 CPU, 28672 MB, its driver raw_exec is not healthy: disabled",
			"e: draining, 6 CPU, 28672 MB, it was made ineligible",
			"f: ready, 4 CPU, 24576 MB, ",
		}, lines)
	})
}

// A drain lets run what runs; when it is ended before that, nothing runs twice.
func TestSCH15_DrainAndReenable(t *testing.T) {
	bubble(t, nomad.Config{}, func(t *testing.T, w *world) {
		w.server.AddNode("n2", 10, 40000, nil)
		p := placement("waits")
		require.NoError(t, w.Submit(t.Context(), p))
		sees(t, w, p, is(scheduler.PlacementRunning))
		for range 3 {
			require.NoError(t, w.Drain(t.Context(), "n1", scheduler.Drain{On: true}))
			require.ErrorIs(t, w.Submit(t.Context(), placement("ends")), ci.ErrConflict)
			time.Sleep(time.Minute)
			require.NoError(t, w.Drain(t.Context(), "n1", scheduler.Drain{}))
			time.Sleep(time.Minute)
		}
		require.Equal(t, 1, w.runs(p))
		require.Equal(t, scheduler.PlacementRunning, sees(t, w, p, func(scheduler.Placement) bool { return true }).State)
	})
}

// What a server has submitted the next one finds, dead or alive; what Nomad
// has forgotten is still told.
func TestRestartAndGarbage(t *testing.T) {
	for _, dispatch := range []bool{false, true} {
		bubble(t, nomad.Config{Dispatch: dispatch}, func(t *testing.T, w *world) {
			alive, dead := placement("waits"), placement("dies")
			require.NoError(t, w.Submit(t.Context(), alive))
			require.NoError(t, w.Submit(t.Context(), dead))
			sees(t, w, dead, is(scheduler.PlacementDead))

			docs := memdb.New()
			w.open(t, nomad.Config{Dispatch: dispatch, Docs: docs}, direct(w))
			stop := w.run(t)
			defer stop()
			got := sees(t, w, alive, is(scheduler.PlacementRunning))
			require.Equal(t, alive.Task.Name, got.Task.Name)
			require.Equal(t, alive.Resources, got.Resources)
			require.Equal(t, "n1", got.Node)
			require.Contains(t, sees(t, w, dead, is(scheduler.PlacementDead)).Reason, "last words")
			require.NoError(t, w.Submit(t.Context(), alive), "the same again is the same")
			require.Equal(t, 1, w.runs(alive))

			w.server.Collect()
			time.Sleep(time.Minute)
			sees(t, w, dead, is(scheduler.PlacementDead))
			r, err := w.Output(t.Context(), dead, true)
			require.NoError(t, err)
			text, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Contains(t, string(text), "these are my last words")
			require.NoError(t, w.Stop(t.Context(), dead, 0))
			n := 0
			for _, err := range w.Placements(t.Context()) {
				require.NoError(t, err)
				n++
			}
			require.Equal(t, 1, n)
		})
	}
}

// Jobs of others are nobody's business.
func TestJobsOfOthersAreLeftAlone(t *testing.T) {
	bubble(t, nomad.Config{}, func(t *testing.T, w *world) {
		mine := placement("waits")
		require.NoError(t, w.Submit(t.Context(), mine))
		other, err := nomad.New(direct(w), nomad.Agent{Command: "a", Door: "http://d"}, nomad.Config{Name: "other"})
		require.NoError(t, err)
		for p, err := range other.Placements(t.Context()) {
			require.NoError(t, err)
			t.Fatal("it lists", p)
		}
	})
}

// A Nomad with a certificate of its own authority.
func TestServerOverTLS(t *testing.T) {
	w := newWorld(t, nomad.Config{}, direct)
	h := httptest.NewTLSServer(w.server)
	defer h.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600))
	w.open(t, nomad.Config{}, nomad.Server{Address: h.URL, CA: ca})
	nodes, err := w.Nodes(t.Context())
	require.NoError(t, err)
	require.Len(t, nodes, 1)
	w.open(t, nomad.Config{}, nomad.Server{Address: h.URL})
	_, err = w.Nodes(t.Context())
	require.ErrorContains(t, err, "certificate")
	_, err = nomad.New(nomad.Server{Address: h.URL, CA: "/no/such"}, nomad.Agent{Command: "a", Door: "http://d"}, nomad.Config{})
	require.ErrorIs(t, err, ci.ErrInvalid)
}

func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		s nomad.Server
		a nomad.Agent
		c nomad.Config
	}{
		"no address": {a: nomad.Agent{Command: "a", Door: "d"}},
		"no command": {s: nomad.Server{Address: "http://n"}, a: nomad.Agent{Door: "d"}},
		"no door":    {s: nomad.Server{Address: "http://n"}, a: nomad.Agent{Command: "a"}},
		"driver":     {s: nomad.Server{Address: "http://n"}, a: nomad.Agent{Command: "a", Door: "d", Driver: "java"}},
		"no image":   {s: nomad.Server{Address: "http://n"}, a: nomad.Agent{Command: "a", Door: "d", Driver: nomad.Docker}},
		"warm":       {s: nomad.Server{Address: "http://n"}, a: nomad.Agent{Command: "a", Door: "d"}, c: nomad.Config{Warm: []nomad.Warm{{}}}},
	} {
		_, err := nomad.New(tt.s, tt.a, tt.c)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
	}
	bubble(t, nomad.Config{}, func(t *testing.T, w *world) {
		p := placement("ends")
		p.Token = string(make([]byte, 20<<10))
		require.ErrorIs(t, w.Submit(t.Context(), p), ci.ErrInvalid, "more than 16 KiB")
	})
}
