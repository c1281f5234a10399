package nomad_test

import (
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
)

// A way is one to get a task to a real Nomad.
type way struct {
	w      *world
	submit func(p scheduler.Placement)
	// over waits until the task is over by what this way knows of it.
	over func(p scheduler.Placement)
	warm int // agents that wait, when all are ready
}

// ready waits until everything is as it was before a task came, or so many warm
// agents wait.
func (w way) ready(b *testing.B, warm int) {
	if w.warm == 0 {
		time.Sleep(300 * time.Millisecond)
	}
	require.Eventually(b, func() bool {
		w.w.mu.Lock()
		defer w.w.mu.Unlock()
		return w.w.asking >= min(w.warm, warm)
	}, time.Minute, 10*time.Millisecond)
}

func (w *world) listen(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrived, w.done = make(chan ci.TaskID, n), make(chan ci.TaskID, n)
}

// ours submits with the driver; a task is over when its agent says so.
func ours(b *testing.B, cfg nomad.Config) way {
	w := onReal(b, cfg)
	w.listen(1000)
	all := way{w: w, submit: func(p scheduler.Placement) { require.NoError(b, w.Submit(b.Context(), p)) }, over: func(scheduler.Placement) { <-w.done }}
	for _, warm := range cfg.Warm {
		all.warm += warm.Count
	}
	all.ready(b, all.warm)
	return all
}

// plain is "nomad job dispatch" of the same agent, and a task is over when
// Nomad calls it complete.
func plain(b *testing.B) way {
	w := onReal(b, nomad.Config{})
	w.listen(1000)
	client, err := api.NewClient(&api.Config{Address: realNomad(b)})
	require.NoError(b, err)
	exe, err := os.Executable()
	require.NoError(b, err)
	id := "plain-" + string(ci.NewID())
	t := api.NewTask("agent", "raw_exec").SetConfig("command", exe)
	t.Env = map[string]string{agentEnv: "1", pointer.EnvFile: "${NOMAD_TASK_DIR}/p"}
	t.DispatchPayload = &api.DispatchPayloadConfig{File: "p"}
	t.Resources = &api.Resources{CPU: new(1000), MemoryMB: new(256)}
	j := api.NewBatchJob(id, id, "global", 50).AddDatacenter("*").AddTaskGroup(api.NewTaskGroup("g", 1).AddTask(t))
	j.ParameterizedJob = &api.ParameterizedJobConfig{Payload: "required"}
	_, _, err = client.Jobs().Register(j, nil)
	require.NoError(b, err)
	b.Cleanup(func() { _, _, _ = client.Jobs().Deregister(id, true, nil) })
	var mu sync.Mutex
	jobs := map[ci.TaskID]string{}
	submit := func(p scheduler.Placement) {
		w.mu.Lock()
		w.placed[p.Task.ID] = p
		w.mu.Unlock()
		text, err := json.Marshal(pointer.Pointer{Door: w.door, Task: p.Task.ID, Epoch: 1, Token: "t"})
		require.NoError(b, err)
		done, _, err := client.Jobs().Dispatch(id, nil, text, "", nil)
		require.NoError(b, err)
		mu.Lock()
		defer mu.Unlock()
		jobs[p.Task.ID] = done.DispatchedJobID
	}
	over := func(p scheduler.Placement) {
		mu.Lock()
		job := jobs[p.Task.ID]
		mu.Unlock()
		for index := uint64(0); ; {
			allocs, meta, err := client.Jobs().Allocations(job, true, (&api.QueryOptions{WaitIndex: index, WaitTime: 10 * time.Second}).WithContext(b.Context()))
			require.NoError(b, err)
			if len(allocs) > 0 && allocs[0].ClientStatus == api.AllocClientStatusComplete {
				return
			}
			index = meta.LastIndex
		}
	}
	return way{w: w, submit: submit, over: over}
}

func ways(b *testing.B, test func(b *testing.B, w way)) {
	realNomad(b)
	f := func(b *testing.B, w way) {
		first := bare() // registers what is dispatched
		w.submit(first)
		<-w.w.arrived
		w.over(first)
		w.ready(b, w.warm)
		for len(w.w.done) > 0 {
			<-w.w.done
		}
		test(b, w)
	}
	b.Run("plain", func(b *testing.B) { f(b, plain(b)) })
	b.Run("register", func(b *testing.B) { f(b, ours(b, nomad.Config{})) })
	b.Run("dispatch", func(b *testing.B) { f(b, ours(b, nomad.Config{Dispatch: true})) })
	b.Run("warm", func(b *testing.B) { f(b, ours(b, nomad.Config{Warm: []nomad.Warm{{Resources: one, Count: 20}}})) })
}

// bare is a placement without a node in mind.
func bare() scheduler.Placement {
	p := placement("ends")
	p.Node = ""
	return p
}

// From Submit until the agent asks what it is to do.
func BenchmarkCommandStarts(b *testing.B) {
	ways(b, func(b *testing.B, w way) {
		for b.Loop() {
			p := bare()
			w.submit(p)
			<-w.w.arrived
			b.StopTimer()
			w.over(p)
			w.ready(b, 1)
			b.StartTimer()
		}
	})
}

// From Submit until the end is known.
func BenchmarkFinished(b *testing.B) {
	ways(b, func(b *testing.B, w way) {
		for b.Loop() {
			p := bare()
			w.submit(p)
			w.over(p)
			b.StopTimer()
			w.ready(b, 1)
			for len(w.w.done) > 0 {
				<-w.w.done
			}
			b.StartTimer()
		}
	})
}

// 200 tasks at once; warm ones find 20 agents ready, and Nomad places the rest.
func Benchmark200AtOnce(b *testing.B) {
	ways(b, func(b *testing.B, w way) {
		for b.Loop() {
			w.together(b, 200)
		}
		b.ReportMetric(float64(200*b.N)/b.Elapsed().Seconds(), "tasks/s")
	})
}

// 20 tasks at once, for each of which a warm agent waits: at least 10 times as
// many a second as plain ones.
func Benchmark20AtOnce(b *testing.B) {
	ways(b, func(b *testing.B, w way) {
		for b.Loop() {
			w.together(b, 20)
			b.StopTimer()
			w.ready(b, w.warm)
			b.StartTimer()
		}
		b.ReportMetric(float64(20*b.N)/b.Elapsed().Seconds(), "tasks/s")
	})
}

// together submits n tasks from 16 sides, and returns when their agents have
// said that they are done.
func (w way) together(b *testing.B, n int) {
	all := make(chan scheduler.Placement, n)
	for range n {
		all <- bare()
	}
	close(all)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for p := range all {
				w.submit(p)
			}
		})
	}
	for range n {
		<-w.w.done
	}
	group.Wait()
}
