package vmservice_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

// build is one job from claim to the end of its machine; it returns what its
// log says of its layers.
func (b *bench) build(task ci.TaskID, project ci.ProjectID) string {
	b.t.Helper()
	m := b.claim(task, 1, project, cached)
	b.done(task)
	return strings.Join(m.Notes, "\n")
}

func (b *bench) done(tasks ...ci.TaskID) {
	b.t.Helper()
	for _, task := range tasks {
		require.NoError(b.t, b.Release(b.t.Context(), task, 1))
	}
	time.Sleep(3 * time.Minute)
}

func TestDLC01_SecondBuildHits(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		require.Contains(t, b.build("t1", "shop"), "fresh volume v-000001 of 100 GB")
		require.Contains(t, b.build("t2", "shop"), "hit, 1 images, 100 MB on volume v-000001")
		l := b.cloud.Ledger()
		require.Len(t, l.Volumes, 1)
		require.Equal(t, "shop", l.Volumes[0].Tags[vmservice.TagProject])
		require.Equal(t, "branch", l.Volumes[0].Tags[vmservice.TagTrust])
		require.Equal(t, 1, b.Counts().Hits)
		require.Equal(t, 1, b.Counts().Fresh)
	})
}

func TestDLC02_ReuseOrCreate(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		for _, task := range []ci.TaskID{"a", "b", "c"} {
			require.Contains(t, b.claim(task, 1, "shop", cached).Notes[0], "fresh")
		}
		require.Len(t, b.cloud.Ledger().Volumes, 3, "three at once have three")
		b.done("a")
		b.done("c")
		b.done("b")
		last := ""
		for _, v := range b.Layers() {
			last = max(last, v.Used.Format(time.RFC3339Nano)+" "+v.ID)
		}
		note := b.build("d", "shop")
		require.Contains(t, note, "hit")
		require.Contains(t, note, last[strings.Index(last, " ")+1:], "the one that was used last")
		require.Len(t, b.cloud.Ledger().Volumes, 3)
	})
}

func TestDLC03_P11_NeverAcrossProjectsOrTrust(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		b.build("t1", "shop")
		require.Contains(t, b.build("t2", "bank"), "fresh")
		m := b.claim("t3", 1, "shop", cached)
		require.Contains(t, m.Notes[0], "hit")
		b.trust = "fork"
		require.Contains(t, b.claim("t4", 1, "shop", cached).Notes[0], "fresh", "a fork does not see what a branch has left")
	})
}

// The database itself refuses a volume for a second task, and knows none of one
// project for the task of another.
func TestDLC03_DatabaseConstraint(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		b.claim("t1", 1, "shop", cached)
		var docs []ci.Doc
		for d, err := range b.docs.Docs(t.Context(), ci.DocQuery{Kind: "layer-volume", AllScopes: true}) {
			require.NoError(t, err)
			docs = append(docs, d)
		}
		require.Len(t, docs, 1)
		require.Equal(t, "task/t1", docs[0].Name)
		require.True(t, strings.HasPrefix(docs[0].Scope, "shop|branch|amd64|"))
		second := docs[0]
		second.ID, second.Version = "v-other", 0
		_, err := b.docs.WriteDocs(t.Context(), ci.DocChange{Doc: second})
		require.ErrorIs(t, err, ci.ErrConflict, "one volume a task")
		machine := ci.Doc{Kind: "machine", ID: "m-other", Scope: "task", Name: "t1", Body: []byte("{}")}
		_, err = b.docs.WriteDocs(t.Context(), ci.DocChange{Doc: machine})
		require.ErrorIs(t, err, ci.ErrConflict, "one machine a task")
	})
}

// A volume whose tag names another project, as after a mistake by hand, is not
// attached.
func TestDLC03_TagIsChecked(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		b.build("t1", "shop")
		b.cloud.Retag(b.Layers()[0].ID, vmservice.TagProject, "bank")
		time.Sleep(2 * time.Minute)
		require.Contains(t, b.build("t2", "shop"), "none, the volume could not be attached: it belongs to another project")
		require.Len(t, b.guest.Owners(vmservicetest.Device("v-000001")), 1)
	})
}

func TestDLC04_DLC05_BoundsEvictTheLeastMissed(t *testing.T) {
	within(t, func(c *vmservice.Config) {
		c.Budgets = map[ci.MachineKind]vmservice.Budget{"": {GB: 200}}
		c.Layers.Unused = 30 * 24 * time.Hour
	}, func(t *testing.T, b *bench) {
		b.build("t1", "old")
		time.Sleep(time.Hour)
		b.build("t2", "shop")
		held := b.claim("t3", 1, "shop", cached) // it is in use, and never evicted
		require.Contains(t, held.Notes[0], "hit")
		note := b.build("t4", "bank")
		require.Contains(t, note, "none, the budget is 200 GB of volumes, and 200 are used")
		require.Contains(t, note, "a later build will have one")
		require.Contains(t, b.build("t5", "bank"), "fresh")
		require.LessOrEqual(t, b.cloud.Ledger().PeakGB, 200)
		b.done("t3")
		projects := map[ci.ProjectID]bool{}
		for _, v := range b.Layers() {
			projects[v.Project] = true
		}
		require.Equal(t, map[ci.ProjectID]bool{"shop": true, "bank": true}, projects)
	})
}

func TestDLC05_UnusedAndPurge(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		b.build("t1", "shop")
		b.build("t2", "bank")
		time.Sleep(71 * time.Hour)
		require.Len(t, b.Layers(), 2)
		require.Contains(t, b.build("t3", "shop"), "hit")
		time.Sleep(3 * time.Hour)
		require.Len(t, b.Layers(), 1, "what nobody used for 3 days goes")
		b.claim("t4", 1, "shop", cached)
		free, used, err := b.Purge(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, []int{0, 1}, []int{free, used})
		time.Sleep(time.Minute)
		require.Len(t, b.Layers(), 1, "not under a running job")
		b.done("t4")
		time.Sleep(3 * time.Minute)
		require.Empty(t, b.Layers())
		require.Zero(t, b.cloud.Ledger().GB)
		_, _, err = b.Purge(t.Context(), "")
		require.ErrorIs(t, err, ci.ErrInvalid)
	})
}

// A volume that nobody has a record of, as after a crash or a lost database,
// goes when it is seen twice.
func TestDLC05_OrphanVolume(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		v, err := b.cloud.CreateVolume(t.Context(), "orphan", 100, "", map[string]string{vmservice.TagInstall: "rondo"})
		require.NoError(t, err)
		_, err = b.cloud.CreateVolume(t.Context(), "foreign", 50, "", map[string]string{vmservice.TagInstall: "elsewhere"})
		require.NoError(t, err)
		time.Sleep(80 * time.Second)
		require.Equal(t, 150, b.cloud.Ledger().GB, v.ID)
		time.Sleep(5 * time.Minute)
		require.Equal(t, 50, b.cloud.Ledger().GB)
	})
}

// A machine that was ready before has the layers within seconds of the claim.
func TestDLC06_WarmMachineGetsLayers(t *testing.T) {
	within(t, floors(2, 0), func(t *testing.T, b *bench) {
		b.build("t1", "shop")
		time.Sleep(3 * time.Minute)
		began := time.Now()
		m := b.claim("t2", 1, "shop", cached)
		require.Less(t, time.Since(began), 5*time.Second)
		require.Contains(t, m.Notes[0], "hit")
		for _, r := range b.Machines(0) {
			if r.Key == m.ID {
				require.True(t, r.Ready.Before(began), "it was ready before")
			}
		}
	})
}

// A volume that cannot be had does not keep a build from running.
func TestDLC06_WithoutLayersRatherThanNot(t *testing.T) {
	within(t, floors(1, 0), func(t *testing.T, b *bench) {
		b.cloud.SetScript(func(op vmservicetest.Op, _ string) vmservicetest.Answer {
			if op == vmservicetest.OpAttach {
				return vmservicetest.Answer{Err: errors.New("the volume is stuck")}
			}
			return vmservicetest.Answer{}
		})
		began := time.Now()
		note := strings.Join(b.claim("t1", 1, "shop", cached).Notes, "")
		require.Contains(t, note, "none, the volume could not be attached: the volume is stuck")
		require.Less(t, time.Since(began), 4*time.Minute)
		require.Equal(t, 1, b.Counts().Without)
	})
}

// What a machine did not let go in order is not trusted: it is wiped.
func TestDLC03_DirtyIsWiped(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		b.build("t1", "shop")
		b.claim("t2", 1, "shop", cached)
		for _, m := range b.Machines(0) {
			if m.Task == "t2" {
				b.cloud.Kill(m.ID, "power failure")
			}
		}
		b.guest.SetScript(func(op, _ string) error { return errors.New("no route to host") })
		b.done("t2")
		b.guest.SetScript(nil)
		require.Contains(t, b.build("t3", "shop"), "fresh, volume v-000001 was not let go in order")
		require.Contains(t, b.build("t4", "shop"), "hit")
		require.Len(t, b.cloud.Ledger().Volumes, 1)
	})
}

// A volume that is not let go is taken by force after a minute.
func TestP10_StuckDetach(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		b.cloud.SetScript(func(op vmservicetest.Op, _ string) vmservicetest.Answer {
			if op == vmservicetest.OpDetach {
				return vmservicetest.Answer{After: 10 * time.Hour}
			}
			return vmservicetest.Answer{}
		})
		b.build("t1", "shop")
		time.Sleep(5 * time.Minute)
		require.Contains(t, b.build("t2", "shop"), "hit")
	})
}

func TestDLC05_Budgets(t *testing.T) {
	within(t, func(c *vmservice.Config) {
		c.Classes = []vmservice.Class{{Name: "medium", VCPUs: 4, Price: 1}}
		c.Budgets = map[ci.MachineKind]vmservice.Budget{
			"": {VCPUs: 12}, ci.MachineForJob: {Machines: 2},
		}
	}, func(t *testing.T, b *bench) {
		for _, task := range []ci.TaskID{"a", "b", "c"} {
			b.waits(task, forJob)
		}
		time.Sleep(30 * time.Second)
		require.Contains(t, b.waits("c", forJob), "bounded: the budget of kind machine is 2 machines")
		// All go on asking, also who has its own: a boot may take longer than a lease.
		ready := 0
		for range 900 {
			if ready == 3 {
				break
			}
			ready = 0
			for task, need := range map[ci.TaskID]ci.MachineNeed{"a": forJob, "b": forJob, "d": forDocker} {
				m, err := b.Claim(t.Context(), task, 1, "p", b.trust, need)
				require.NoError(t, err)
				if m.Ready {
					ready++
				}
			}
			time.Sleep(time.Second)
		}
		require.Equal(t, 3, ready)
		b.waits("e", forDocker)
		time.Sleep(time.Second)
		require.Contains(t, b.waits("e", forDocker), "the budget of all machines is 12 vCPUs, and 12 are used")
		require.Equal(t, 3, b.cloud.Ledger().Peak)
		require.NoError(t, b.Release(t.Context(), "a", 1))
		b.claim("c", 1, "p", forJob)
	})
	within(t, func(c *vmservice.Config) {
		c.Classes = []vmservice.Class{{Name: "medium", VCPUs: 4, Price: 1}}
		c.Budgets = map[ci.MachineKind]vmservice.Budget{"": {Money: 14}}
		c.Live = func(context.Context, ci.TaskID, int64) (bool, error) { return true, nil }
	}, func(t *testing.T, b *bench) {
		for _, task := range []ci.TaskID{"a", "b"} {
			b.claim(task, 1, "p", forJob)
		}
		b.waits("c", forJob)
		time.Sleep(time.Second)
		require.Contains(t, b.waits("c", forJob), "the budget of all machines is 14.00 a day")
		time.Sleep(7 * time.Hour)
		require.LessOrEqual(t, b.Status().Today, 14.0)
		require.Greater(t, b.Status().Today, 11.9)
	})
}
