package vmservice_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// errCrash is what a call of a process gets that is no more.
var errCrash = errors.New("the process was killed")

// A world is a provider, a database and a server that is killed again and
// again, at the moments when it writes an intent or asks the provider.
type world struct {
	t     *testing.T
	docs  ci.Docs
	cloud *vmservicetest.Cloud
	guest *vmservicetest.Guest
	cfg   vmservice.Config

	mu      sync.Mutex
	random  *rand.Rand
	pool    *vmservice.Pool
	life    *life
	crashes int
	points  map[string]int // at which the process was killed
	faults  map[string]int
	live    map[ci.TaskID]int64
	given   map[string]string // machine -> job
	got     map[string]string // job -> machine
	project map[string]ci.ProjectID
	layers  map[string]int // what builds were told
	quiet   bool
	// at kills the server at that point, once; passed counts them.
	at, passed int
}

// A life is one run of the process.
type life struct {
	dead   bool
	cancel context.CancelFunc
}

func (w *world) chance(of float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.quiet && w.random.Float64() < of
}

// dies kills the process of l at a point, sometimes.
func (w *world) dies(l *life, point string, of float64) bool {
	crash := w.chance(of)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !l.dead {
		w.passed++
		crash = crash || w.passed == w.at
	}
	if crash && !l.dead {
		l.dead = true
		l.cancel()
		w.crashes++
		w.points[point]++
	}
	return l.dead
}

// docs is the interface under a name that none of its methods has.
type docs = ci.Docs

// mortalDocs are the documents as one run of the process writes them.
type mortalDocs struct {
	docs
	w *world
	l *life
}

func (d mortalDocs) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	if d.w.dies(d.l, "before write", 0.001) {
		return nil, errCrash
	}
	got, err := d.docs.WriteDocs(context.WithoutCancel(ctx), changes...)
	if d.w.dies(d.l, "after write", 0.001) {
		return nil, errCrash
	}
	return got, err
}

// mortalCloud is the provider as one run of the process asks it.
type mortalCloud struct {
	*vmservicetest.Cloud
	w *world
	l *life
}

func mortal[T any](c mortalCloud, op vmservicetest.Op, call func() (T, error)) (T, error) {
	var none T
	if c.w.dies(c.l, "before "+string(op), 0.003) {
		return none, errCrash
	}
	got, err := call()
	if c.w.dies(c.l, "after "+string(op), 0.003) {
		return none, errCrash
	}
	return got, err
}

func (c mortalCloud) Create(ctx context.Context, key string, m vmservice.Model, b vmservice.Boot) (vmservice.Machine, error) {
	return mortal(c, vmservicetest.OpCreate, func() (vmservice.Machine, error) { return c.Cloud.Create(ctx, key, m, b) })
}

func (c mortalCloud) Destroy(ctx context.Context, id string) error {
	_, err := mortal(c, vmservicetest.OpDestroy, func() (int, error) { return 0, c.Cloud.Destroy(ctx, id) })
	return err
}

func (c mortalCloud) CreateVolume(ctx context.Context, key string, gb int, zone string, tags map[string]string) (vmservice.Volume, error) {
	return mortal(c, vmservicetest.OpCreateVolume, func() (vmservice.Volume, error) { return c.Cloud.CreateVolume(ctx, key, gb, zone, tags) })
}

func (c mortalCloud) Attach(ctx context.Context, volume, machine string) (string, error) {
	return mortal(c, vmservicetest.OpAttach, func() (string, error) { return c.Cloud.Attach(ctx, volume, machine) })
}

func (c mortalCloud) Detach(ctx context.Context, volume string, force bool) error {
	_, err := mortal(c, vmservicetest.OpDetach, func() (int, error) { return 0, c.Cloud.Detach(ctx, volume, force) })
	return err
}

// faults is the script: what clouds do.
func (w *world) script(op vmservicetest.Op, _ string) vmservicetest.Answer {
	w.mu.Lock()
	r, quiet := w.random.Float64(), w.quiet
	latency := time.Duration(w.random.Int64N(int64(3 * time.Second)))
	w.mu.Unlock()
	time.Sleep(latency)
	fault := func(name string, a vmservicetest.Answer) vmservicetest.Answer {
		w.mu.Lock()
		w.faults[name]++
		w.mu.Unlock()
		return a
	}
	throttled := &vmservice.Fault{Class: vmservice.FaultTransient, Code: "RequestLimitExceeded", Err: errors.New("request limit exceeded")}
	switch {
	case quiet:
	case r < 0.05:
		return fault("throttled", vmservicetest.Answer{Err: throttled})
	case r < 0.08:
		return fault("500", vmservicetest.Answer{Err: errors.New("internal error")})
	case r < 0.11 && op != vmservicetest.OpList && op != vmservicetest.OpVolumes:
		return fault("done, answer lost", vmservicetest.Answer{Err: context.DeadlineExceeded, Done: true})
	case r < 0.14 && op == vmservicetest.OpCreate:
		return fault("no capacity", vmservicetest.Answer{Err: &vmservice.Fault{Class: vmservice.FaultCapacity, Code: "InsufficientInstanceCapacity", Err: errors.New("no room")}})
	case r < 0.15 && op == vmservicetest.OpCreate:
		return fault("quota", vmservicetest.Answer{Err: &vmservice.Fault{Class: vmservice.FaultQuota, Code: "VcpuLimitExceeded", Err: errors.New("limit of vCPUs")}})
	case r < 0.13 && op == vmservicetest.OpDestroy:
		return fault("stuck end", vmservicetest.Answer{After: 8 * time.Minute})
	case r < 0.15 && op == vmservicetest.OpDetach:
		return fault("stuck detach", vmservicetest.Answer{After: 30 * time.Minute})
	}
	return vmservicetest.Answer{}
}

// run keeps a server running until ctx ends.
func (w *world) run(ctx context.Context) {
	for ctx.Err() == nil {
		running, cancel := context.WithCancel(ctx)
		l := &life{cancel: cancel}
		cfg := w.cfg
		cfg.Live = func(_ context.Context, task ci.TaskID, epoch int64) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.live[task] == epoch, nil
		}
		p := vmservice.New(mortalDocs{w.docs, w, l}, mortalCloud{w.cloud, w, l}, w.guest, cfg)
		w.mu.Lock()
		w.pool, w.life = p, l
		w.mu.Unlock()
		_ = p.Run(running)
		cancel()
		time.Sleep(5 * time.Second) // until it is started again
	}
}

func (w *world) now() *vmservice.Pool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pool
}

func (w *world) alive(task ci.TaskID, epoch int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if epoch == 0 {
		delete(w.live, task)
		return
	}
	w.live[task] = epoch
}

// job is what an agent does with a task: one epoch, and a second one if the
// machine is lost.
func (w *world) job(ctx context.Context, n int) {
	w.mu.Lock()
	length := time.Minute + time.Duration(w.random.Int64N(int64(8*time.Minute)))
	project := ci.ProjectID(fmt.Sprintf("project-%d", w.random.IntN(12)))
	kind := ci.MachineForJob
	if w.random.IntN(2) == 0 {
		kind = ci.MachineForDocker
	}
	trust := []string{"protected", "branch", "fork"}[w.random.IntN(3)]
	layers, silent, again := w.random.IntN(3) > 0, w.random.IntN(10) == 0, w.random.IntN(20) == 0
	w.mu.Unlock()
	task := ci.TaskID(fmt.Sprintf("00000000-0000-7000-8000-%012d/0", n))
	need := ci.MachineNeed{Kind: kind, LayerCaching: layers}
	for epoch := int64(1); ctx.Err() == nil; epoch++ {
		w.alive(task, epoch)
		m, err := w.await(ctx, task, epoch, project, trust, need)
		if errors.Is(err, ci.ErrConflict) {
			continue // the machine was lost: the scheduler hands out the task again
		}
		if err != nil {
			return
		}
		w.deliver(fmt.Sprintf("%s epoch %d", task, epoch), m.ID, project)
		w.heard(m.Notes)
		time.Sleep(length)
		if again { // the agent was lost
			again = false
			continue
		}
		w.alive(task, 0)
		if !silent {
			_ = w.now().Release(ctx, task, epoch)
		}
		return
	}
}

func (w *world) await(ctx context.Context, task ci.TaskID, epoch int64, project ci.ProjectID, trust string, need ci.MachineNeed) (ci.Machine, error) {
	for end := time.Now().Add(12 * time.Hour); ; {
		m, err := w.now().Claim(ctx, task, epoch, project, trust, need)
		switch {
		case ctx.Err() != nil:
			return m, ctx.Err()
		case err == nil && m.Ready, errors.Is(err, ci.ErrConflict):
			return m, err
		case time.Now().After(end):
			w.t.Errorf("task %s has waited for 12 hours: %s %v", task, m.Reason, err)
			return m, context.DeadlineExceeded
		}
		time.Sleep(2 * time.Second)
	}
}

// heard counts what builds are told of their layers.
func (w *world) heard(notes []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, note := range notes {
		for _, word := range []string{"hit", "fresh", "none"} {
			if strings.HasPrefix(note, "Docker layer cache: "+word) {
				w.layers[word]++
			}
		}
	}
}

func (w *world) deliver(job, machine string, project ci.ProjectID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other := w.given[machine]; other != "" && other != job {
		w.t.Errorf("machine %s is for %s and for %s", machine, other, job)
	}
	if other := w.got[job]; other != "" && other != machine {
		w.t.Errorf("%s has machine %s and %s", job, other, machine)
	}
	w.given[machine], w.got[job], w.project[machine] = job, machine, project
}

// A thousand jobs on a provider that fails in every way it can, and a server
// that is killed wherever it writes or asks: one machine for each job, bounds
// hold, nothing is left over, and no volume is ever seen by another project.
func TestVMS10_DLC03_P10_P11_Simulation(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

const (
	simJobs     = 1000
	simMachines = 40
	simVolumes  = 30
	simGB       = 10
)

func newWorld(t *testing.T, seed uint64) *world {
	var key [32]byte
	key[0] = byte(seed)
	w := &world{
		t: t, docs: memdb.New(), guest: &vmservicetest.Guest{}, random: rand.New(rand.NewPCG(seed, 7)),
		points: map[string]int{}, layers: map[string]int{}, faults: map[string]int{}, live: map[ci.TaskID]int64{},
		given: map[string]string{}, got: map[string]string{}, project: map[string]ci.ProjectID{},
	}
	w.cloud = vmservicetest.NewCloud(vmservicetest.CloudConfig{
		Install: "sim", Zones: []string{"a", "b"}, Boot: 90 * time.Second, End: 20 * time.Second, Keep: time.Hour, Lag: time.Minute, Script: w.script,
	})
	w.cfg = vmservice.Config{
		Install: "sim", Keeper: vmservicetest.PlainKeeper{},
		Floors: []vmservice.Floor{
			{Model: vmservice.Model{Kind: ci.MachineForJob}, Machines: 3}, {Model: vmservice.Model{Kind: ci.MachineForDocker}, Machines: 2},
		},
		Classes: []vmservice.Class{{Name: "medium", VCPUs: 2, Price: 0.1}},
		Budgets: map[ci.MachineKind]vmservice.Budget{"": {Machines: simMachines, Volumes: simVolumes, GB: simVolumes * simGB}},
		Layers:  vmservice.LayerConfig{GB: simGB},
		Boot:    vmservice.BootConfig{Random: rand.NewChaCha8(key), Zones: []string{"a", "b"}},
	}
	return w
}

func simulate(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	var server, jobs sync.WaitGroup
	server.Go(func() { w.run(ctx) })
	time.Sleep(time.Second)
	for n := range simJobs {
		jobs.Go(func() { w.job(ctx, n) })
		w.mu.Lock()
		gap := time.Duration(w.random.ExpFloat64() * float64(12*time.Second))
		w.mu.Unlock()
		time.Sleep(gap)
	}
	jobs.Wait()
	took := time.Since(began)
	w.mu.Lock()
	w.quiet = true
	w.mu.Unlock()
	time.Sleep(15 * time.Minute)

	l := w.cloud.Ledger()
	ready := map[string]bool{}
	for _, r := range w.now().Machines(0) {
		require.NotContains(t, []vmservice.State{vmservice.Claimed, vmservice.Ending, vmservice.Asked}, r.State, "15 minutes after the last job: %+v", r)
		ready[r.ID] = true
	}
	leaked := 0
	for _, m := range l.Machines {
		if (m.State == vmservice.MachineRunning || m.State == vmservice.MachineBooting) && !ready[m.ID] {
			leaked++
			t.Errorf("machine %s of nobody: %+v", m.ID, m)
		}
	}
	crossed := w.crossings(l)
	t.Logf("%d jobs in %s of virtual time, seed %d", simJobs, took.Round(time.Second), seed)
	t.Logf("%-44s %d", "machines made", len(l.Machines))
	t.Logf("%-44s %d / %d", "jobs that got one / machines given", len(w.got), len(w.given))
	t.Logf("%-44s %d of %d", "most machines at once, at the provider", l.Peak, simMachines)
	t.Logf("%-44s %d of %d", "most GB of volumes, at the provider", l.PeakGB, simVolumes*simGB)
	t.Logf("%-44s %d", "volumes made", len(l.Volumes))
	t.Logf("%-44s %d", "machines of nobody after 15 minutes", leaked)
	t.Logf("%-44s %d", "volumes seen by two projects", crossed)
	t.Logf("%-44s %d %v", "times the server was killed", w.crashes, w.points)
	t.Logf("%-44s %v", "faults of the provider", w.faults)
	t.Logf("%-44s %v", "builds and their layers", w.layers)
	require.LessOrEqual(t, l.Peak, simMachines)
	require.LessOrEqual(t, l.PeakGB, simVolumes*simGB)
	require.Zero(t, crossed)
	require.GreaterOrEqual(t, len(w.got), simJobs)
	require.Equal(t, len(w.got), len(w.given))
	require.Greater(t, w.crashes, 20)
	cancel()
	server.Wait()
}

// crossings counts volumes that more than one project has seen.
func (w *world) crossings(l vmservicetest.Ledger) int {
	n := 0
	for _, v := range l.Volumes {
		owners := map[string]bool{}
		for _, o := range w.guest.Owners(vmservicetest.Device(v.ID)) {
			project, _, _ := cutOwner(o)
			owners[project] = true
			if project != v.Tags[vmservice.TagProject] {
				w.t.Errorf("volume %s of %s was mounted for %s", v.ID, v.Tags[vmservice.TagProject], project)
			}
		}
		if len(owners) > 1 {
			n++
		}
	}
	return n
}
