package local_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

const agentEnv = "RONDO_LOCAL_TEST_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(agentEnv) != "" {
		os.Exit(schedulertest.AgentMain())
	}
	os.Exit(m.Run())
}

// self starts this test binary again, as an agent.
func self(t *testing.T) local.Start {
	exe, err := os.Executable()
	require.NoError(t, err)
	return local.Exec([]string{exe}, append(os.Environ(), agentEnv+"=1"))
}

// run runs the cluster until the test ends.
func run(t *testing.T, start local.Start, cfg local.Config) *local.Cluster {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	c := local.New(start, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		for p := range c.Placements(context.Background()) {
			_ = c.Stop(context.Background(), p, 0)
		}
		cancel()
		require.NoError(t, <-done)
	})
	return c
}

func TestProcesses(t *testing.T) {
	schedulertest.TestCluster(t, func(t *testing.T) scheduler.Cluster { return run(t, self(t), local.Config{}) })
}

func TestFunctions(t *testing.T) {
	schedulertest.TestCluster(t, func(t *testing.T) scheduler.Cluster {
		return run(t, local.Func(func(ctx context.Context, p scheduler.Placement) error {
			if p.Task.Name == schedulertest.TaskDeaf { // do not hold up the end of the test
				time.Sleep(100 * time.Millisecond)
				return nil
			}
			return schedulertest.Agent(ctx, p)
		}), local.Config{})
	})
}

func task(name string) scheduler.Placement {
	return scheduler.Placement{Task: ci.Task{Job: ci.JobID(ci.NewID()), Name: name, Total: 1}.Slice(0), Epoch: 1}
}

// sees waits for a state and returns the placement.
func sees(t *testing.T, c *local.Cluster, p scheduler.Placement, state scheduler.PlacementState) scheduler.Placement {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for got, err := range c.Watch(ctx) {
		require.NoError(t, err)
		if got.Task.ID == p.Task.ID && got.State == state {
			return got
		}
	}
	return p
}

// pid returns the process that has the task, from its record.
func pid(t *testing.T, dir string, p scheduler.Placement) int {
	t.Helper()
	_, data := recordOf(t, dir, p)
	_, rest, _ := strings.Cut(string(data), `"pid":`)
	n, err := strconv.Atoi(rest[:strings.IndexByte(rest, ',')])
	require.NoError(t, err)
	return n
}

// recordOf finds the record of the agent that has the task.
func recordOf(t *testing.T, dir string, p scheduler.Placement) (string, []byte) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.json")
	require.NoError(t, err)
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && strings.Contains(string(data), string(p.Task.ID)) {
			return f, data
		}
	}
	t.Fatalf("no record of %s", p.Task.ID)
	return "", nil
}

func TestP5_KilledAgentIsSeenAtOnce(t *testing.T) {
	dir := t.TempDir()
	swept := make(chan ci.TaskID, 1)
	c := run(t, self(t), local.Config{Dir: dir, Sweep: func(id ci.TaskID, _ int64) { swept <- id }})
	p := task(schedulertest.TaskWaits)
	require.NoError(t, c.Submit(t.Context(), p))
	n := pid(t, dir, p)
	pgid, err := syscall.Getpgid(n)
	require.NoError(t, err)
	require.Equal(t, n, pgid, "a group of its own: a Ctrl-C in the terminal does not reach it")
	require.NoError(t, syscall.Kill(n, syscall.SIGKILL))
	got := sees(t, c, p, scheduler.PlacementDead)
	require.Contains(t, got.Reason, "agent process "+strconv.Itoa(n)+" was killed by signal 9")
	require.Equal(t, p.Task.ID, <-swept)
}

func TestAgentsAreReused(t *testing.T) {
	dir := t.TempDir()
	c := run(t, self(t), local.Config{Dir: dir, Warm: -1})
	var first int
	for i := range 5 {
		p := task(schedulertest.TaskEnds)
		require.NoError(t, c.Submit(t.Context(), p))
		sees(t, c, p, scheduler.PlacementDead)
		if i == 0 {
			first = pid(t, dir, p)
		}
		require.Equal(t, first, pid(t, dir, p))
		require.NoError(t, c.Stop(t.Context(), p, 0))
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2, "the log and the record of the living agent: %v", left)
	files, err := filepath.Glob(dir + "/*.json")
	require.NoError(t, err)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.Empty(t, strings.TrimSpace(string(data)), "the record is empty")
}

func TestIdleAgentThatDiedIsReplaced(t *testing.T) {
	dir := t.TempDir()
	c := run(t, self(t), local.Config{Dir: dir, Warm: -1})
	p := task(schedulertest.TaskEnds)
	require.NoError(t, c.Submit(t.Context(), p))
	sees(t, c, p, scheduler.PlacementDead)
	require.NoError(t, syscall.Kill(pid(t, dir, p), syscall.SIGKILL))
	for range 3 { // while the death is noticed, and after
		p = task(schedulertest.TaskWaits)
		require.NoError(t, c.Submit(t.Context(), p))
	}
	sees(t, c, p, scheduler.PlacementRunning)
}

func TestP5_AgentsOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	before := local.New(self(t), local.Config{Dir: dir, Warm: -1})
	lives, ends := task(schedulertest.TaskWaits), task(schedulertest.TaskWaits)
	require.NoError(t, before.Submit(t.Context(), lives))
	require.NoError(t, before.Submit(t.Context(), ends))
	require.NoError(t, syscall.Kill(pid(t, dir, ends), syscall.SIGKILL))
	sees(t, before, ends, scheduler.PlacementDead)

	// The next server: the one before is not asked any more.
	after := run(t, self(t), local.Config{Dir: dir, Warm: -1})
	got := sees(t, after, lives, scheduler.PlacementRunning)
	require.Equal(t, lives.Task, got.Task)
	got = sees(t, after, ends, scheduler.PlacementDead)
	require.Contains(t, got.Reason, "which an earlier server had started, has ended")
	require.NoError(t, after.Submit(t.Context(), lives), "the same placement")
	require.NoError(t, after.Stop(t.Context(), lives, time.Hour))
	sees(t, after, lives, scheduler.PlacementDead)
}

func TestStrangersAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	before := local.New(self(t), local.Config{Dir: dir, Warm: -1})
	p := task(schedulertest.TaskWaits)
	require.NoError(t, before.Submit(t.Context(), p))
	n := pid(t, dir, p)
	file, data := recordOf(t, dir, p)
	_, rest, _ := strings.Cut(string(data), `"birth":"`)
	birth := rest[:strings.IndexByte(rest, '"')]
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(data), birth, "boot/1")), 0o600))
	require.NoError(t, os.WriteFile(dir+"/torn@1.json", data[:20], 0o600))

	after := run(t, self(t), local.Config{Dir: dir, Warm: -1})
	sees(t, after, p, scheduler.PlacementDead)
	require.NoError(t, after.Stop(t.Context(), p, 0))
	require.NoError(t, syscall.Kill(n, 0), "it lives")
	require.NoError(t, before.Stop(t.Context(), p, 0))
	require.NoFileExists(t, dir+"/torn@1.json")
}

func TestARC09_Capacity(t *testing.T) {
	c := local.New(local.Func(nil), local.Config{
		Capacity: scheduler.Resources{CPU: 8, MemoryMB: 32768}, Reserve: scheduler.Resources{CPU: 2, MemoryMB: 4096}, Strict: true,
	})
	nodes, err := c.Nodes(t.Context())
	require.NoError(t, err)
	require.Equal(t, scheduler.Resources{CPU: 6, MemoryMB: 28672}, nodes[0].Capacity)
	require.False(t, nodes[0].Clamp)

	nodes, err = local.New(local.Func(nil), local.Config{}).Nodes(t.Context())
	require.NoError(t, err)
	require.Positive(t, nodes[0].Capacity.CPU)
	require.Positive(t, nodes[0].Capacity.MemoryMB)
	require.True(t, nodes[0].Clamp)
}

func TestStartThatFails(t *testing.T) {
	c := run(t, local.Exec([]string{"/no/such/agent"}, nil), local.Config{})
	p := task(schedulertest.TaskEnds)
	err := c.Submit(t.Context(), p)
	require.ErrorContains(t, err, "/no/such/agent")
	require.NotErrorIs(t, err, ci.ErrInvalid)
	for range c.Placements(t.Context()) {
		t.Fatal("nothing was placed")
	}
	p.Task.Name = schedulertest.TaskEnds
	require.ErrorContains(t, local.New(local.Exec([]string{"/bin/sh"}, nil), local.Config{Dir: "/proc/no/dir"}).Submit(t.Context(), p), "directory of agents")
}

func TestPanicIsADeadAgent(t *testing.T) {
	c := run(t, local.Func(func(context.Context, scheduler.Placement) error { panic("oh no") }), local.Config{})
	p := task("any")
	require.NoError(t, c.Submit(t.Context(), p))
	require.Contains(t, sees(t, c, p, scheduler.PlacementDead).Reason, "oh no")
}
