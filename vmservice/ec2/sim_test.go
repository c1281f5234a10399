package ec2_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/ec2"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

const (
	simJobs     = 120
	simMachines = 20
	simVolumes  = 12
)

// world is a pool of a server that is started again and again, over a cloud
// that has bad days.
type world struct {
	t     *testing.T
	cloud *ec2test.Cloud
	docs  ci.Docs
	guest *vmservicetest.Guest

	mu       sync.Mutex
	random   *rand.Rand
	pool     *vmservice.Pool
	stop     context.CancelFunc
	live     map[ci.TaskID]int64
	given    map[string]string // machine -> job
	reported map[string]bool
}

func (w *world) now() *vmservice.Pool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pool
}

// serve runs the server until ctx ends; kill ends one run.
func (w *world) serve(ctx context.Context) {
	for ctx.Err() == nil {
		running, cancel := context.WithCancel(ctx)
		cfg := good(w.cloud)
		cfg.Subnets = []string{"subnet-0000000b"}
		d, err := ec2.New("sim", cfg) // nothing of the last run is remembered
		if err != nil {
			w.t.Errorf("open the driver: %v", err)
		}
		p := vmservice.New(w.docs, d, w.guest, vmservice.Config{
			Install: "sim", Keeper: vmservicetest.PlainKeeper{},
			Floors:  []vmservice.Floor{{Model: vmservice.Model{Kind: ci.MachineForJob}, Machines: 2}, {Model: vmservice.Model{Kind: ci.MachineForDocker}, Machines: 1}},
			Budgets: map[ci.MachineKind]vmservice.Budget{"": {Machines: simMachines, Volumes: simVolumes}},
			Boot:    vmservice.BootConfig{Report: "https://ci.example.com:3001", Zones: []string{"us-west-2a", "us-west-2b"}},
			Live: func(_ context.Context, task ci.TaskID, epoch int64) (bool, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.live[task] == epoch, nil
			},
		})
		w.mu.Lock()
		w.pool, w.stop = p, cancel
		w.mu.Unlock()
		_ = p.Run(running)
		cancel()
		time.Sleep(5 * time.Second)
	}
}

func (w *world) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop()
}

// What a machine's user data tell it to do.
var (
	reportURL   = regexp.MustCompile(`url = \\"(https://ci\.example\.com:3001/[^\\"]+)\\"`)
	reportToken = regexp.MustCompile(`Rondo-Token: ([^\\"]+)\\"`)
)

// boots does what machines do at their first boot: it posts their host keys.
func (w *world) boots(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(2 * time.Second) {
		for _, i := range w.cloud.Alive() {
			if i.State != "running" || w.reported[i.ID] {
				continue
			}
			address, token := reportURL.FindStringSubmatch(i.UserData), reportToken.FindStringSubmatch(i.UserData)
			if len(address) != 2 || len(token) != 2 {
				w.t.Errorf("user data without a report: %s", i.UserData)
				return
			}
			r := httptest.NewRequest(http.MethodPost, address[1], strings.NewReader("ssh-ed25519 AAAA"+i.ID+" root@"+i.ID))
			r.Header.Set("Rondo-Token", token[1])
			answer := httptest.NewRecorder()
			fleet := vmservice.NewFleet(nil, nil)
			fleet.Use(w.now(), nil)
			vmservice.Handler(fleet, vmservice.Gate{}).ServeHTTP(answer, r)
			if answer.Code == http.StatusOK {
				w.reported[i.ID] = true
			}
		}
	}
}

func (w *world) job(ctx context.Context, n int) {
	w.mu.Lock()
	length := time.Minute + time.Duration(w.random.Int64N(int64(6*time.Minute)))
	project := ci.ProjectID(fmt.Sprintf("project-%d", w.random.IntN(6)))
	need := ci.MachineNeed{Kind: ci.MachineForJob, LayerCaching: w.random.IntN(2) == 0}
	if w.random.IntN(2) == 0 {
		need.Kind = ci.MachineForDocker
	}
	silent := w.random.IntN(10) == 0
	w.mu.Unlock()
	task := ci.TaskID(fmt.Sprintf("00000000-0000-7000-8000-%012d/0", n))
	for epoch := int64(1); ctx.Err() == nil; epoch++ {
		w.mu.Lock()
		w.live[task] = epoch
		w.mu.Unlock()
		m, err := w.await(ctx, task, epoch, project, need)
		if errors.Is(err, ci.ErrConflict) {
			continue
		}
		if err != nil {
			return
		}
		w.mu.Lock()
		job := fmt.Sprint(task, " epoch ", epoch)
		if other := w.given[m.ID]; other != "" && other != job {
			w.t.Errorf("machine %s is for %s and for %s", m.ID, other, job)
		}
		w.given[m.ID] = job
		w.mu.Unlock()
		time.Sleep(length)
		w.mu.Lock()
		delete(w.live, task)
		w.mu.Unlock()
		if !silent {
			_ = w.now().Release(ctx, task, epoch)
		}
		return
	}
}

func (w *world) await(ctx context.Context, task ci.TaskID, epoch int64, project ci.ProjectID, need ci.MachineNeed) (ci.Machine, error) {
	for end := time.Now().Add(12 * time.Hour); ; time.Sleep(3 * time.Second) {
		m, err := w.now().Claim(ctx, task, epoch, project, "branch", need)
		switch {
		case ctx.Err() != nil:
			return m, ctx.Err()
		case err == nil && m.Ready, errors.Is(err, ci.ErrConflict):
			return m, err
		case time.Now().After(end):
			w.t.Errorf("task %s has waited for 12 hours: %s %v", task, m.Reason, err)
			return m, context.DeadlineExceeded
		}
	}
}

// Jobs over the real driver, the SDK and the wire, on a cloud that throttles,
// fails, loses answers, has no room, shows things late and gets stuck, with a
// server that is killed again and again.
func TestVMS10_P10_P11_SimulationOverTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, docs: memdb.New(), guest: &vmservicetest.Guest{}, random: rand.New(rand.NewPCG(3, 7)),
			live: map[ci.TaskID]int64{}, given: map[string]string{}, reported: map[string]bool{},
			cloud: ec2test.New(ec2test.Config{
				Lag: 45 * time.Second, Boot: time.Minute, Page: 20, Seed: 3, VCPUs: 2 * simMachines,
				Buckets: map[string]ec2test.Bucket{"RunInstances": {Size: 10, PerSecond: 2}, "": {Size: 100, PerSecond: 20}},
			}),
		}
		inA := func(f url.Values) bool { return f.Get("NetworkInterface.1.SubnetId") == "subnet-0000000a" }
		w.cloud.Script(
			ec2test.Rule{Chance: 0.03, Code: "RequestLimitExceeded"},
			ec2test.Rule{Chance: 0.03, Code: "InternalError"},
			ec2test.Rule{Chance: 0.05, Action: "RunInstances", Lost: true},
			ec2test.Rule{Chance: 0.05, Action: "CreateVolume", Lost: true},
			ec2test.Rule{Chance: 0.05, Action: "AttachVolume", Lost: true},
			ec2test.Rule{Chance: 0.05, Action: "TerminateInstances", Lost: true},
			ec2test.Rule{Chance: 0.2, Action: "RunInstances", When: inA, Code: "InsufficientInstanceCapacity"},
		)
		ctx, cancel := context.WithCancel(t.Context())
		var server, jobs sync.WaitGroup
		server.Go(func() { w.serve(ctx) })
		time.Sleep(time.Second)
		server.Go(func() { w.boots(ctx) })
		for n := range simJobs {
			jobs.Go(func() { w.job(ctx, n) })
			w.mu.Lock()
			gap := time.Duration(w.random.ExpFloat64() * float64(30*time.Second))
			w.mu.Unlock()
			time.Sleep(gap)
			if n%40 == 20 {
				w.kill()
			}
			if alive := w.cloud.Alive(); n%50 == 30 && len(alive) > 0 {
				w.cloud.Stick(alive[0].ID)
			}
		}
		jobs.Wait()
		w.cloud.Heal()
		time.Sleep(15 * time.Minute)

		ready := map[string]bool{}
		for _, r := range w.now().Machines(0) {
			ready[r.ID] = true
		}
		leaked := 0
		for _, i := range w.cloud.Alive() {
			if !ready[i.ID] {
				leaked++
				t.Errorf("machine %s of nobody: %s %v", i.ID, i.State, i.Tags)
			}
		}
		peak := w.cloud.Peak()
		t.Logf("%d jobs, %d machines given, %d made, %d left over", simJobs, len(w.given), len(w.cloud.Instances()), leaked)
		t.Logf("most at once: %d of %d machines, %d of %d volumes", peak.Instances, simMachines, peak.Volumes, simVolumes)
		for _, a := range []string{"RunInstances", "DescribeInstances", "TerminateInstances", "CreateVolume", "DescribeVolumes", "AttachVolume", "DetachVolume"} {
			t.Logf("calls of %-20s %d", a, w.cloud.Calls(a))
		}
		require.GreaterOrEqual(t, len(w.given), simJobs)
		require.LessOrEqual(t, peak.Instances, simMachines)
		require.LessOrEqual(t, peak.Volumes, simVolumes)
		for _, v := range w.cloud.Volumes() {
			for _, o := range w.guest.Owners("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_" + strings.ReplaceAll(v.ID, "-", "")) {
				project, _, _ := strings.Cut(o, "|")
				require.Equal(t, v.Tags[vmservice.TagProject], project, "volume %s", v.ID)
			}
		}
		cancel()
		server.Wait()
	})
}
