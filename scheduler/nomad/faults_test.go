package nomad_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A floor is a real queue over a fake Nomad, with agents that claim, work, renew
// and report to it as real ones do, in a bubble of synctest.
type floor struct {
	queue  *scheduler.Scheduler
	server *nomadtest.Server

	mu     sync.Mutex
	events []ci.Event
	more   chan struct{}
	worked map[ci.TaskID]int
	status map[ci.TaskID]ci.Status
	reason map[ci.TaskID]string
}

func newFloor(t *testing.T, cfg nomad.Config) *floor {
	f := &floor{more: make(chan struct{}), worked: map[ci.TaskID]int{}, status: map[ci.TaskID]ci.Status{}, reason: map[ci.TaskID]string{}}
	f.server = nomadtest.New(f.agent)
	for i := range 3 {
		f.server.AddNode(fmt.Sprintf("n%d", i+1), 10, 4096+32768, nil)
	}
	cfg.Docs = memdb.New()
	cluster, err := nomad.New(nomad.Server{Address: "http://nomad.invalid", HTTP: f.server.Client()}, nomad.Agent{Command: "a", Door: "http://d"}, cfg)
	require.NoError(t, err)
	f.queue = scheduler.New(&schedulertest.Backlog{}, cluster, f.report, scheduler.Config{
		Token: func(ci.TaskID, int64) string { return "tok" },
		Begun: func(_ context.Context, task ci.TaskID, _ int64) (bool, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.worked[task] > 0, nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = cluster.Run(ctx) })
	group.Go(func() { _ = f.queue.Run(ctx, f.follow) })
	t.Cleanup(func() { cancel(); f.server.Close(); group.Wait() })
	return f
}

// agent works for some minutes, and counts how often a task has begun.
func (f *floor) agent(ctx context.Context, s nomadtest.Start) error {
	text := s.Env[pointer.Env]
	if len(s.Payload) > 0 {
		text = string(s.Payload)
	}
	p, err := pointer.Parse([]byte(text))
	if err != nil {
		return err
	}
	l, err := f.queue.Claim(ctx, p.Task, p.Epoch, s.Alloc)
	if err != nil {
		return nil // superseded
	}
	f.mu.Lock()
	f.worked[p.Task]++
	f.mu.Unlock()
	work := time.Duration(len(p.Task)+int(p.Task[len(p.Task)-3]))*time.Second + time.Minute
	for end := time.Now().Add(work); time.Now().Before(end); {
		select {
		case <-time.After(10 * time.Second):
		case <-ctx.Done():
			return errors.New("stopped")
		}
		switch l, err = f.queue.Renew(ctx, l); {
		case errors.Is(err, ci.ErrConflict), ctx.Err() != nil:
			return errors.New("stopped")
		}
	}
	_ = f.queue.Finish(ctx, l, ci.Report{Task: p.Task, Epoch: p.Epoch, Status: ci.Success})
	return nil
}

func (f *floor) report(_ context.Context, r ci.Report) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status[r.Task], f.reason[r.Task] = r.Status, r.Reason
	return nil
}

func (f *floor) add(name string) ci.TaskID {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := ci.Task{Job: ci.JobID("job-" + name), Name: "build", Project: "p", Org: "o", Repo: "r", Class: "small", Total: 1, Queued: time.Now()}.Slice(0)
	f.events = append(f.events, ci.Event{Seq: uint64(len(f.events) + 1), Kind: ci.JobQueued, Job: t.Job, Status: ci.Queued, Task: &t})
	f.status[t.ID] = ci.Queued
	close(f.more)
	f.more = make(chan struct{})
	return t.ID
}

func (f *floor) follow(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		for {
			f.mu.Lock()
			events, more := slices.Clone(f.events[after:]), f.more
			f.mu.Unlock()
			for _, e := range events {
				if after = e.Seq; !yield(e, nil) {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-more:
			}
		}
	}
}

// Whatever Nomad does or does not answer, every task runs once and ends.
func TestP18_EveryTaskRunsOnceWhileNomadIsAwayOrLying(t *testing.T) {
	faults := map[string]func(f *floor, on bool){
		"down for 30 minutes": func(f *floor, on bool) {
			f.server.CutStreams()
			f.set(on, func(*http.Request) nomadtest.Fault { return nomadtest.Fault{Drop: true} })
		},
		"500":                  func(f *floor, on bool) { f.set(on, status(500, "")) },
		"429":                  func(f *floor, on bool) { f.set(on, status(429, "")) },
		"500 on each register": func(f *floor, on bool) { f.set(on, status(500, "PUT")) },
		"done, no answer": func(f *floor, on bool) {
			f.set(on, func(r *http.Request) nomadtest.Fault { return nomadtest.Fault{Lose: r.Method == "PUT"} })
		},
		"every third answer is lost": func(f *floor, on bool) {
			n := 0
			var mu sync.Mutex
			f.set(on, func(*http.Request) nomadtest.Fault {
				mu.Lock()
				defer mu.Unlock()
				n++
				return nomadtest.Fault{Lose: n%3 == 0}
			})
		},
		"events are missing": func(f *floor, on bool) { f.server.Mute(on) },
		"the index goes back": func(f *floor, on bool) {
			f.server.Rewind()
		},
		"no events at all": func(f *floor, on bool) {
			f.server.CutStreams()
			f.set(on, func(r *http.Request) nomadtest.Fault {
				if strings.Contains(r.URL.Path, "/event/") {
					return nomadtest.Fault{Status: 404}
				}
				return nomadtest.Fault{}
			})
		},
	}
	for name, fault := range faults {
		for _, dispatch := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/dispatch=%v", name, dispatch), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFloor(t, nomad.Config{Dispatch: dispatch})
					for i := range 30 {
						f.add(fmt.Sprintf("a%02d", i))
					}
					time.Sleep(time.Minute)
					fault(f, true)
					for i := range 30 {
						f.add(fmt.Sprintf("b%02d", i))
						time.Sleep(time.Minute)
					}
					fault(f, false)
					time.Sleep(30 * time.Minute)
					f.mu.Lock()
					defer f.mu.Unlock()
					require.Len(t, f.status, 60)
					for task, s := range f.status {
						require.Equal(t, ci.Success, s, "%s: %s", task, f.reason[task])
						require.Equal(t, 1, f.worked[task], "%s ran %d times", task, f.worked[task])
					}
					for id, j := range f.server.Jobs() {
						if j.ParameterizedJob == nil || j.Dispatched {
							require.Equal(t, "dead", f.server.Status(id))
						}
					}
				})
			})
		}
	}
}

func (f *floor) set(on bool, fault func(*http.Request) nomadtest.Fault) {
	if !on {
		fault = nil
	}
	f.server.SetFault(fault)
}

func status(code int, method string) func(*http.Request) nomadtest.Fault {
	return func(r *http.Request) nomadtest.Fault {
		if method == "" || r.Method == method {
			return nomadtest.Fault{Status: code}
		}
		return nomadtest.Fault{}
	}
}

// Two agents of one hand-out: one works, the other ends before the first step
// (P4.c). The placement lives as long as one of them does.
func TestP4_DispatchedTwiceRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloor(t, nomad.Config{})
		task := f.add("twice")
		synctest.Wait()
		time.Sleep(2 * time.Second)
		jobs := slices.Collect(maps.Keys(f.server.Jobs()))
		require.Len(t, jobs, 1)
		require.True(t, f.server.Second(jobs[0]))
		time.Sleep(20 * time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		require.Equal(t, 2, f.server.Starts(jobs[0]))
		require.Equal(t, 1, f.worked[task])
		require.Equal(t, ci.Success, f.status[task])
	})
}

// A client out of sight, whose agent lives on and renews its lease: the lease
// wins (P18.b), and nothing starts a second time.
func TestP18_TheLeaseWinsOverLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloor(t, nomad.Config{})
		task := f.add("far")
		time.Sleep(30 * time.Second)
		for i := range 3 {
			f.server.SetNode(fmt.Sprintf("n%d", i+1), "disconnected")
		}
		time.Sleep(time.Minute)
		f.mu.Lock()
		require.Equal(t, ci.Running, f.status[task])
		f.mu.Unlock()
		time.Sleep(20 * time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		require.Equal(t, 1, f.worked[task])
		require.Equal(t, ci.Success, f.status[task])
	})
}

// A node that dies with its agent: one decision, by the queue.
func TestP5_NodeDeathIsOneDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloor(t, nomad.Config{})
		task := f.add("gone")
		time.Sleep(30 * time.Second)
		for i := range 3 {
			f.server.SetNode(fmt.Sprintf("n%d", i+1), "down")
		}
		time.Sleep(7 * time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		require.Equal(t, 1, f.worked[task])
		require.Equal(t, ci.InfraFailed, f.status[task], "its steps had begun")
	})
}
