package vmservice_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

// A bench is a pool over a provider in memory, in virtual time.
type bench struct {
	*vmservice.Pool
	t     *testing.T
	docs  ci.Docs
	cloud *vmservicetest.Cloud
	guest *vmservicetest.Guest
	cfg   vmservice.Config
	trust string
	stop  func()
}

// within runs a test in a bubble, over a pool of which change says the rest.
func within(t *testing.T, change func(*vmservice.Config), test func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{
			t: t, trust: "branch", docs: memdb.New(), guest: &vmservicetest.Guest{},
			cloud: vmservicetest.NewCloud(vmservicetest.CloudConfig{Install: "rondo", Boot: time.Minute, End: 10 * time.Second, Keep: time.Hour, Lag: 20 * time.Second}),
			cfg:   vmservice.Config{Keeper: vmservicetest.PlainKeeper{}, Boot: vmservice.BootConfig{Fixed: true}},
		}
		if change != nil {
			change(&b.cfg)
		}
		b.start()
		defer func() { b.stop() }()
		test(t, b)
	})
}

func (b *bench) start() {
	ctx, cancel := context.WithCancel(b.t.Context())
	b.Pool = vmservice.New(b.docs, b.cloud, b.guest, b.cfg)
	var running sync.WaitGroup
	running.Go(func() { _ = b.Run(ctx) })
	b.stop = func() { cancel(); running.Wait() }
	synctest.Wait()
}

// fleet is one of this pool alone, which runs already.
func (b *bench) fleet() *vmservice.Fleet {
	f := vmservice.NewFleet(b.docs, nil)
	f.Use(b.Pool, nil)
	return f
}

// claim asks until the machine is there, for a quarter of an hour.
func (b *bench) claim(task ci.TaskID, epoch int64, project ci.ProjectID, need ci.MachineNeed) ci.Machine {
	b.t.Helper()
	var m ci.Machine
	for range 900 {
		var err error
		m, err = b.Claim(b.t.Context(), task, epoch, project, b.trust, need)
		require.NoError(b.t, err)
		if m.Ready {
			return m
		}
		require.NotEmpty(b.t, m.Reason, "whoever waits is told why")
		time.Sleep(time.Second)
	}
	require.FailNow(b.t, "no machine", m.Reason)
	return m
}

func (b *bench) waits(task ci.TaskID, need ci.MachineNeed) string {
	b.t.Helper()
	m, err := b.Claim(b.t.Context(), task, 1, "p", "branch", need)
	require.NoError(b.t, err)
	require.False(b.t, m.Ready)
	return m.Reason
}

func (b *bench) count(kind ci.MachineKind, state vmservice.State) int {
	n := 0
	for _, r := range b.Machines(0) {
		if r.Model.Kind == kind && r.State == state {
			n++
		}
	}
	return n
}

var (
	forJob    = ci.MachineNeed{Kind: ci.MachineForJob}
	forDocker = ci.MachineNeed{Kind: ci.MachineForDocker}
	cached    = ci.MachineNeed{Kind: ci.MachineForDocker, LayerCaching: true}
)

func floors(docker, job int) func(*vmservice.Config) {
	return func(c *vmservice.Config) {
		c.Floors = []vmservice.Floor{
			{Model: vmservice.Model{Kind: ci.MachineForDocker}, Machines: docker}, {Model: vmservice.Model{Kind: ci.MachineForJob}, Machines: job},
		}
	}
}

func TestVMS05_Preallocation(t *testing.T) {
	within(t, floors(2, 3), func(t *testing.T, b *bench) {
		time.Sleep(3*time.Minute + time.Second) // not in the very moment of a probe
		require.Equal(t, 2, b.count(ci.MachineForDocker, vmservice.Ready))
		require.Equal(t, 3, b.count(ci.MachineForJob, vmservice.Ready))
		began := time.Now()
		m := b.claim("t1", 1, "p", forDocker)
		require.Less(t, time.Since(began), time.Second)
		require.Equal(t, "tcp://"+b.Machines(0)[0].ID[:2], m.Docker.Host[:8])
		require.Contains(t, m.Key, "OPENSSH PRIVATE KEY")
		require.Equal(t, "circleci", m.User)
		require.NotEmpty(t, m.HostKey)
		time.Sleep(3 * time.Minute)
		require.Equal(t, 2, b.count(ci.MachineForDocker, vmservice.Ready), "refilled")
		require.Equal(t, 3, b.count(ci.MachineForJob, vmservice.Ready))
	})
	within(t, floors(0, 0), func(t *testing.T, b *bench) {
		time.Sleep(10 * time.Minute)
		require.Empty(t, b.Machines(0))
		require.Empty(t, b.cloud.Ledger().Machines)
		b.claim("t1", 1, "p", forJob)
	})
}

func TestVMS10_ClaimIsIdempotentAndFenced(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		first := b.claim("t1", 2, "p", forJob)
		require.Equal(t, first, b.claim("t1", 2, "p", forJob), "the same again")
		_, err := b.Claim(t.Context(), "t1", 1, "p", "branch", forJob)
		require.ErrorIs(t, err, ci.ErrConflict, "an older epoch")
		require.ErrorIs(t, b.Release(t.Context(), "t1", 1), ci.ErrConflict)
		_, err = b.Claim(t.Context(), "t1", 2, "p", "branch", forDocker)
		require.ErrorIs(t, err, ci.ErrInvalid, "one machine a task")
		second := b.claim("t1", 3, "p", forJob)
		require.NotEqual(t, first.ID, second.ID, "a higher epoch takes over, and never the same machine")
		_, err = b.Claim(t.Context(), "t1", 2, "p", "branch", forJob)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.NoError(t, b.Release(t.Context(), "t1", 3))
		_, err = b.Claim(t.Context(), "t1", 3, "p", "branch", forJob)
		require.Error(t, err, "its machine has ended: there is no second one for the epoch")
		time.Sleep(5 * time.Minute)
		_, err = b.Claim(t.Context(), "t1", 3, "p", "branch", forJob)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.Zero(t, b.cloud.Ledger().Alive)
		require.NoError(t, b.Release(t.Context(), "unknown", 1))
		past, err := b.Past(t.Context(), "t1", 10)
		require.NoError(t, err)
		require.Len(t, past, 2, "the ledger")
	})
}

func TestVMS10_ClaimsAreChecked(t *testing.T) {
	within(t, func(c *vmservice.Config) { c.Classes = []vmservice.Class{{Name: "medium", VCPUs: 2}} }, func(t *testing.T, b *bench) {
		for _, need := range []ci.MachineNeed{{}, {Kind: "toaster"}, {Kind: ci.MachineForJob, Class: "huge"}} {
			_, err := b.Claim(t.Context(), "t1", 1, "p", "branch", need)
			require.ErrorIs(t, err, ci.ErrInvalid, "%+v", need)
		}
		_, err := b.Claim(t.Context(), "t1", 0, "p", "branch", forJob)
		require.ErrorIs(t, err, ci.ErrInvalid)
	})
}

// A restart finds the machines of before, with their keys, and no other is made.
func TestVMS10_ReadoptedAfterRestart(t *testing.T) {
	within(t, floors(1, 1), func(t *testing.T, b *bench) {
		m := b.claim("t1", 1, "p", forJob)
		time.Sleep(90 * time.Second)
		made := len(b.cloud.Ledger().Machines)
		b.stop()
		time.Sleep(time.Minute)
		b.start()
		require.Equal(t, m, b.claim("t1", 1, "p", forJob))
		for range 20 {
			time.Sleep(30 * time.Second)
			b.claim("t1", 1, "p", forJob) // an agent that lives asks again
		}
		require.Len(t, b.cloud.Ledger().Machines, made)
	})
}

// The provider served the request and its answer was lost, again and again:
// the same key is the same machine.
func TestVMS11_AnswerLost(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		n := 0
		b.cloud.SetScript(func(op vmservicetest.Op, _ string) vmservicetest.Answer {
			if n++; op == vmservicetest.OpCreate && n < 6 {
				return vmservicetest.Answer{Err: context.DeadlineExceeded, Done: true}
			}
			return vmservicetest.Answer{}
		})
		b.claim("t1", 1, "p", forJob)
		require.Len(t, b.cloud.Ledger().Machines, 1)
	})
}

func fault(class vmservice.FaultClass, setting string) error {
	return &vmservice.Fault{Class: class, Code: "Code", Setting: setting, Err: errors.New("the provider says no")}
}

// Without room in one zone the next one is asked, and this one again after 3
// minutes; nothing is left starting.
func TestVMS11_NoCapacity(t *testing.T) {
	within(t, func(c *vmservice.Config) { c.Boot.Zones = []string{"a", "b"} }, func(t *testing.T, b *bench) {
		full := true
		asked := 0
		b.cloud.SetScript(func(op vmservicetest.Op, _ string) vmservicetest.Answer {
			if op == vmservicetest.OpCreate {
				if asked++; full {
					return vmservicetest.Answer{Err: fault(vmservice.FaultCapacity, "")}
				}
			}
			return vmservicetest.Answer{}
		})
		b.waits("t1", forJob)
		time.Sleep(2 * time.Second)
		require.Contains(t, b.waits("t1", forJob), "no room")
		require.Equal(t, 2, asked, "both zones")
		time.Sleep(50 * time.Second)
		b.waits("t1", forJob)
		require.Equal(t, 2, asked, "cold for 3 minutes")
		require.Empty(t, b.Machines(0), "none is left starting")
		full = false
		b.claim("t1", 1, "p", forJob)
	})
}

func TestVMS11_QuotaAndSettings(t *testing.T) {
	for _, class := range []vmservice.FaultClass{vmservice.FaultQuota, vmservice.FaultSettings} {
		within(t, floors(0, 2), func(t *testing.T, b *bench) {
			time.Sleep(3 * time.Minute)
			asked := 0
			b.cloud.SetScript(func(op vmservicetest.Op, _ string) vmservicetest.Answer {
				if op == vmservicetest.OpCreate {
					asked++
					return vmservicetest.Answer{Err: fault(class, "ec2_subnet_id")}
				}
				return vmservicetest.Answer{}
			})
			b.claim("t1", 1, "p", forJob) // what is there is given out
			b.claim("t2", 1, "p", forJob)
			require.NotEmpty(t, b.waits("t3", forJob))
			time.Sleep(30 * time.Second)
			require.Contains(t, b.waits("t3", forJob), "the provider says no")
			before := asked
			time.Sleep(59 * time.Second)
			require.LessOrEqual(t, asked, before+2, "no storm")
			alarms := strings.Join(b.Status().Alarms, "\n")
			require.Contains(t, alarms, "the provider says no")
			if class == vmservice.FaultSettings {
				require.Contains(t, alarms, "ec2_subnet_id")
				require.Contains(t, b.waits("t3", forJob), "ec2_subnet_id")
			}
			b.cloud.SetScript(nil)
			b.claim("t3", 1, "p", forJob)
			require.Empty(t, b.Status().Alarms)
		})
	}
}
