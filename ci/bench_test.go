package ci_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/rondo-ci/rondo/ci"
)

// layers returns 500 jobs in ten layers of fifty; each job requires ten of the
// layer before.
func layers() ci.PlannedWorkflow {
	r := rand.New(rand.NewPCG(1, 2))
	var p ci.PlannedWorkflow
	for i := range 500 {
		j := ci.PlannedJob{Name: fmt.Sprintf("job-%03d", i)}
		if i >= 50 {
			for _, k := range r.Perm(50)[:10] {
				j.Requires = append(j.Requires, ci.Requirement{Job: fmt.Sprintf("job-%03d", i/50*50-50+k)})
			}
		}
		p.Jobs = append(p.Jobs, j)
	}
	return p
}

func start500() ci.Workflow {
	w, _ := ci.NewWorkflow(ci.Pipeline{ID: "p"}, "acme", layers(), ci.Actor{}, epochZero)
	return w
}

// One report in a workflow of 500 jobs, the next job of the queue ending.
func BenchmarkAdvance500(b *testing.B) {
	b.ReportAllocs()
	for n := 0; n < b.N; {
		b.StopTimer()
		w := start500()
		b.StartTimer()
		for i := range w.Jobs { // the order of writing is one of the graph
			r := ci.Report{Task: w.Jobs[i].ID.Task(0), Epoch: 1, Status: ci.Success}
			if _, err := w.Report(r, epochZero); err != nil {
				b.Fatal(err)
			}
			if n++; n == b.N {
				break
			}
		}
	}
}

// A whole workflow of 500 jobs, from the start to the end.
func BenchmarkWorkflow500(b *testing.B) {
	for b.Loop() {
		w := start500()
		for i := range w.Jobs {
			for _, s := range []ci.Status{ci.Running, ci.Success} {
				if _, err := w.Report(ci.Report{Task: w.Jobs[i].ID.Task(0), Epoch: 1, Status: s}, epochZero); err != nil {
					b.Fatal(err)
				}
			}
		}
		if w.Status != ci.Success {
			b.Fatal(w.Status)
		}
	}
}

// What the last job of 500 inherits.
func BenchmarkUpstream500(b *testing.B) {
	w := start500()
	for b.Loop() {
		if len(w.Upstream("job-499")) == 0 {
			b.Fatal("nothing upstream")
		}
	}
}

// All that an agent needs for the last job of 500, its 450 upstream tasks and
// what stands before each of them.
func BenchmarkWork500(b *testing.B) {
	m := newMemStore(shop)
	plan := layers()
	plan.Name = "main"
	s := ci.New(m, compiles(plan), ci.Config{})
	p, _, err := m.Create(b.Context(), ci.Pipeline{ID: "p", Trigger: push("main", "r")})
	if err != nil {
		b.Fatal(err)
	}
	var last ci.JobID
	err = m.Start(b.Context(), p.ID, func(p *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		w, events := ci.NewWorkflow(*p, "acme", plan, ci.Actor{}, epochZero)
		for i := range w.Jobs {
			_, _ = w.Report(ci.Report{Task: w.Jobs[i].ID.Task(0), Epoch: 1, Status: ci.Success}, epochZero)
		}
		last = w.Jobs[499].ID
		p.Plan = &ci.Plan{Workflows: []ci.PlannedWorkflow{plan}}
		return []ci.Workflow{w}, events, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Work(b.Context(), ci.Lease{Task: last.Task(0)}); err != nil {
			b.Fatal(err)
		}
	}
}

// The state of 500 jobs as a store writes it.
func BenchmarkEncode500(b *testing.B) {
	w := start500()
	for b.Loop() {
		if _, err := json.Marshal(w); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewID(b *testing.B) {
	for b.Loop() {
		_ = ci.NewID()
	}
}

// The choice of what runs again when the first job of 500 is named.
func BenchmarkRerun500(b *testing.B) {
	w := start500()
	for i := range w.Jobs {
		s := ci.Success
		if i == 0 {
			s = ci.Failed
		}
		if w.Jobs[i].Status == ci.Queued {
			_, _ = w.Report(ci.Report{Task: w.Jobs[i].ID.Task(0), Epoch: 1, Status: s}, epochZero)
		}
	}
	if !w.Status.Ended() {
		b.Fatal(w.Status)
	}
	for b.Loop() {
		if _, _, err := w.Rerun(ci.Rerun{Jobs: []ci.JobID{w.Jobs[0].ID}, Downstream: true}, ci.Actor{}, epochZero); err != nil {
			b.Fatal(err)
		}
	}
}
