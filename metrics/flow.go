package metrics

import (
	"context"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// window is how far back the cluster's jobs that are over are counted. Nomad
// forgets its own after four hours, so the figures mean the same with both.
const window = 4 * time.Hour

// maxOpen is how many things that have begun a Flow keeps in mind; beyond that
// the spread of their times is not complete.
const maxOpen = 100_000

// A Flow counts what the events of a server tell: pipelines, workflows and jobs
// that begin and end, and how long they wait and take. It begins with the events
// that come after it: figures are about now. All methods are safe for concurrent
// use.
type Flow struct {
	r   *Registry
	now func() time.Time

	mu    sync.Mutex
	begun map[string]time.Time // by pipeline, workflow or job
	red   map[ci.PipelineID]bool
	left  map[ci.PipelineID]int // workflows that run
	waits map[ci.JobID]waiting
	ended []ended
}

// A waiting is a job that could start.
type waiting struct {
	since time.Time
	tags  []Tag
}

type ended struct {
	at   time.Time
	good bool
}

// NewFlow returns a flow that counts in r. now is the clock; nil is time.Now.
func NewFlow(r *Registry, now func() time.Time) *Flow {
	if now == nil {
		now = time.Now
	}
	return &Flow{r: r, now: now, begun: map[string]time.Time{}, red: map[ci.PipelineID]bool{}, left: map[ci.PipelineID]int{}, waits: map[ci.JobID]waiting{}}
}

// Follow counts the events after a number until ctx ends; then it returns nil.
// follow yields them and waits for more (ci.Server.Follow).
func (f *Flow) Follow(ctx context.Context, after uint64, follow func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]) error {
	for ctx.Err() == nil {
		for e, err := range follow(ctx, after) {
			if err != nil {
				break
			}
			after = e.Seq
			f.Add(e)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// Add counts one event.
func (f *Flow) Add(e ci.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := Tag{"status", string(e.Status)}
	switch e.Kind {
	case ci.PipelineCreated:
		f.r.Count("pipelines.started_total", 1, Tag{"source", source(e)})
		f.begin("p", string(e.Pipeline), e.Time)
	case ci.WorkflowStarted:
		f.begin("w", string(e.Workflow), e.Time)
		f.left[e.Pipeline]++
	case ci.WorkflowEnded:
		f.r.Count("workflows.ended_total", 1, status)
		if d, ok := f.end("w", string(e.Workflow), e.Time); ok {
			f.r.Observe("workflows.duration", d.Seconds(), status)
		}
		if f.left[e.Pipeline]--; f.left[e.Pipeline] <= 0 {
			delete(f.left, e.Pipeline)
			f.endPipeline(e)
		}
	case ci.JobQueued:
		if e.Task != nil && len(f.waits) < maxOpen {
			class := e.Task.Class
			if class == "" {
				class = "default"
			}
			f.waits[e.Job] = waiting{e.Time, Tags("class", class, "executor", string(e.Task.Executor))}
		}
	case ci.JobStarted:
		if w, ok := f.waits[e.Job]; ok {
			delete(f.waits, e.Job)
			f.r.Observe("queue.wait", max(0, e.Time.Sub(w.since)).Seconds(), w.tags...)
		}
		f.begin("j", string(e.Job), e.Time)
	case ci.JobEnded:
		f.endJob(e)
	case ci.PipelineErrored:
		f.endPipeline(e)
	}
}

func (f *Flow) endJob(e ci.Event) {
	status := Tag{"status", string(e.Status)}
	f.r.Count("jobs.ended_total", 1, status)
	delete(f.waits, e.Job)
	if d, ok := f.end("j", string(e.Job), e.Time); ok {
		f.r.Observe("jobs.duration", d.Seconds(), status)
		f.ended = append(f.ended, ended{e.Time, e.Status == ci.Success})
		f.forget()
	}
	if e.Status != ci.Failed || f.red[e.Pipeline] {
		return
	}
	if at, ok := f.begun["p"+string(e.Pipeline)]; ok {
		f.red[e.Pipeline] = true
		f.r.Observe("jobs.first_failure", e.Time.Sub(at).Seconds())
	}
}

// endPipeline gives the figures that OpenTelemetry names.
func (f *Flow) endPipeline(e ci.Event) {
	delete(f.red, e.Pipeline)
	d, ok := f.end("p", string(e.Pipeline), e.Time)
	if !ok {
		return
	}
	result := "failure"
	switch e.Status {
	case ci.Success:
		result = "success"
	case ci.Canceled:
		result = "cancellation"
	}
	if e.Kind == ci.PipelineErrored {
		result = "error"
	}
	f.r.Observe("cicd.pipeline.run.duration", d.Seconds(), Tag{"cicd.pipeline.result", result})
}

// source says who started a pipeline, in few words.
func source(e ci.Event) string {
	if e.Actor.Kind == ci.ActorSystem {
		return "system"
	}
	return string(e.Actor.Kind)
}

func (f *Flow) begin(kind, id string, at time.Time) {
	if len(f.begun) < maxOpen {
		f.begun[kind+id] = at
	}
}

func (f *Flow) end(kind, id string, at time.Time) (time.Duration, bool) {
	begun, ok := f.begun[kind+id]
	delete(f.begun, kind+id)
	return max(0, at.Sub(begun)), ok
}

// forget drops what ended before the window.
func (f *Flow) forget() {
	from := f.now().Add(-window)
	n := 0
	for n < len(f.ended) && f.ended[n].at.Before(from) {
		n++
	}
	f.ended = f.ended[n:]
}

// Ended returns how many jobs ended in the last four hours, and how many of them
// well: the figures dead and complete of a cluster without a memory of its own.
func (f *Flow) Ended() (complete, dead int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget()
	for _, e := range f.ended {
		if e.good {
			complete++
		}
	}
	return complete, len(f.ended)
}

// Active returns how many pipelines have not ended: those that wait to be
// compiled and those with workflows.
func (f *Flow) Active() (pending, executing int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.begun {
		if id, ok := strings.CutPrefix(key, "p"); ok {
			if f.left[ci.PipelineID(id)] > 0 {
				executing++
			} else {
				pending++
			}
		}
	}
	return pending, executing
}
