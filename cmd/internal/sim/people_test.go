package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// The people of a world, and what they were promised.
type people struct {
	mu        *sync.Mutex
	sent      map[string]bool          // triggers by key
	accepted  map[string]ci.PipelineID // those that were acknowledged
	canceled  map[ci.WorkflowID]bool
	jobs      map[ci.JobID]bool // canceled one by one
	approvals map[ci.JobID]bool
}

func newPeople() people {
	return people{
		mu: new(sync.Mutex), sent: map[string]bool{}, accepted: map[string]ci.PipelineID{},
		canceled: map[ci.WorkflowID]bool{}, jobs: map[ci.JobID]bool{}, approvals: map[ci.JobID]bool{},
	}
}

// waiting returns how many triggers are not accepted yet.
func (p people) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent) - len(p.accepted)
}

var alice = ci.Actor{ID: "1", Kind: ci.ActorUser, Login: "alice"}

// projects are what is built: one replaces older pipelines of a branch.
func projects() []ci.Project {
	p := []ci.Project{
		{ID: "shop", Slug: "gh/acme/shop", Org: "acme", Repo: "shop", DefaultBranch: "main"},
		{ID: "site", Slug: "gh/acme/site", Org: "acme", Repo: "site", DefaultBranch: "main"},
		{ID: "beta", Slug: "gh/beta/beta", Org: "beta", Repo: "beta", DefaultBranch: "main"},
	}
	p[0].AutoCancel = true
	return p
}

// settle makes the projects.
func (w *world) settle() error {
	for _, p := range projects() {
		if err := w.db.PutProject(context.Background(), p); err != nil {
			return err
		}
	}
	return nil
}

// compile makes a plan of a trigger's key, always the same.
func (w *world) compile(_ context.Context, _ ci.Project, p ci.Pipeline) (ci.Plan, error) {
	key := p.Trigger.Key
	if w.dice.strikes("compiler: fails", key) {
		return ci.Plan{}, errBroken
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	r := rand.New(rand.NewPCG(w.seed, h.Sum64()))
	if r.IntN(15) == 0 {
		return ci.Plan{}, fmt.Errorf("line 1: no jobs: %w", ci.ErrInvalid)
	}
	var plan ci.Plan
	for i := range 1 + r.IntN(2) {
		plan.Workflows = append(plan.Workflows, workflow(fmt.Sprintf("%s-w%d", key, i), r))
	}
	return plan, nil
}

// workflow makes a graph.
func workflow(name string, r *rand.Rand) ci.PlannedWorkflow {
	f := ci.PlannedWorkflow{Name: name}
	statuses := []ci.Status{ci.Success, ci.Failed, ci.Canceled, ci.NotRun}
	for i := range 1 + r.IntN(5) {
		j := ci.PlannedJob{Name: fmt.Sprintf("%s-j%d", name, i)}
		switch r.IntN(12) {
		case 0:
			j.Type = ci.JobApproval
		case 1:
			j.Type = ci.JobNoOp
		case 2, 3:
			j.Parallelism = 2 + r.IntN(2)
		}
		j.Executor.Kind = ci.ExecutorDocker
		j.ResourceClass = []string{"small", "medium", "medium", "large", "xlarge", "unknown"}[min(r.IntN(20), 5+r.IntN(2)*-1)]
		for s := range 1 + r.IntN(3) {
			j.Steps = append(j.Steps, ci.StepSpec{Kind: ci.StepRun, Name: fmt.Sprint("step ", s)})
		}
		for before := range i {
			if r.IntN(3) > 0 {
				continue
			}
			q := ci.Requirement{Job: fmt.Sprintf("%s-j%d", name, before)}
			if r.IntN(4) == 0 {
				from := r.IntN(len(statuses))
				q.Statuses = statuses[from : from+1+r.IntN(len(statuses)-from)]
			}
			j.Requires = append(j.Requires, q)
		}
		f.Jobs = append(f.Jobs, j)
	}
	return f
}

// act lets one thing happen.
func (w *world) act(i int) {
	d := w.dice
	switch n := d.n(100, "act"); {
	case n < 30 || i < 3:
		w.push(fmt.Sprint("r", i))
	case n < 38:
		w.cancel(i)
	case n < 44:
		w.approveAll()
	case n < 48:
		w.rerun()
	case n < 54:
		w.each("cut off", func(p scheduler.Placement) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.cuts[handOut{p.Task.ID, p.Epoch}] = time.Now().Add(d.between(time.Second, 10*time.Minute, "cut"))
		})
	case n < 60:
		w.each("killed", func(p scheduler.Placement) {
			w.yard.kill(handOut{p.Task.ID, p.Epoch})
			w.yard.Die(p.Task.ID, p.Epoch, "killed by an accident")
		})
	case n < 72:
		w.lie()
	case n < 80:
		w.node()
	default:
		how := []string{"kill", "kill", "kill", "stop", "interrupt"}[d.n(5, "end")]
		down := []time.Duration{0, time.Second, 30 * time.Second, 4 * time.Minute, 12 * time.Minute}[d.n(5, "down")]
		w.end(how, down)
	}
}

// each lets one living placement suffer.
func (w *world) each(what string, f func(scheduler.Placement)) {
	if all := w.yard.Living(); len(all) > 0 {
		p := all[w.dice.n(len(all), what)]
		w.trace.say("world   agent of %s e%d is %s", w.taskName(p.Task), p.Epoch, what)
		f(p)
	}
}

// lie lets the cluster say what is not true of an agent that lives.
func (w *world) lie() {
	state := scheduler.PlacementLost
	switch w.dice.n(3, "lie") {
	case 0:
		w.each("forgotten by the cluster", func(p scheduler.Placement) { w.yard.forget(handOut{p.Task.ID, p.Epoch}) })
		return
	case 1:
		state = scheduler.PlacementDead
	}
	w.each("said to be "+string(state), func(p scheduler.Placement) {
		w.yard.mu.Lock()
		defer w.yard.mu.Unlock()
		w.yard.lies[handOut{p.Task.ID, p.Epoch}] = state
	})
}

// node kills a node, drains it, or brings all back.
func (w *world) node() {
	name := []string{"n1", "n2"}[w.dice.n(2, "node")]
	switch w.dice.n(4, "node does") {
	case 0:
		w.trace.say("world   node %s is killed", name)
		for _, p := range w.yard.Living() {
			if p.Node == name {
				w.yard.kill(handOut{p.Task.ID, p.Epoch})
			}
		}
		w.yard.KillNode(name)
	case 1:
		w.trace.say("world   node %s drains", name)
		_ = w.yard.Drain(context.Background(), name, scheduler.Drain{On: true})
	default:
		w.trace.say("world   the nodes are ready")
		w.yard.SetNodes(nodes()...)
	}
}

// asks makes a call of the server in the background. It is acknowledged only if
// the process lived to say so.
func (w *world) asks(what string, f func(*life) error, ack func()) {
	l := w.now()
	if l == nil {
		return
	}
	w.later.Go(func() {
		err := f(l)
		if l.out.dead.Load() {
			err = errGone
		}
		if err != nil {
			w.trace.say("people  %s: %v", what, err)
			return
		}
		w.trace.say("people  %s: done", what)
		ack()
	})
}

// push triggers a pipeline, some of them more than once at the same time, and
// again until it is accepted.
func (w *world) push(key string) {
	all := projects()
	t := ci.Trigger{
		Project: all[w.dice.n(len(all), key, "project")].ID, Key: key, Source: ci.SourceWebhook, Actor: alice,
		Branch: []string{"main", "topic"}[w.dice.n(2, key, "branch")], Revision: key,
	}
	p := w.people
	p.mu.Lock()
	p.sent[key] = true
	p.mu.Unlock()
	for range 1 + w.dice.n(3, key, "times") {
		w.later.Go(func() {
			for {
				l := w.now()
				if l != nil {
					kept, err := l.Server.Trigger(context.Background(), t)
					if err == nil && !l.out.dead.Load() {
						p.accept(w, key, kept.ID)
						return
					}
				}
				time.Sleep(w.dice.between(time.Second, time.Minute, key, "again"))
			}
		})
	}
}

func (p people) accept(w *world, key string, id ci.PipelineID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, known := p.accepted[key]; known && old != id {
		w.trace.breaks("P2: trigger %s is pipeline %s and %s", key, old, id)
	}
	p.accepted[key] = id
	w.trace.say("people  pushed %s", key)
}

// flows returns the workflows there are.
func (w *world) flows() []ci.Workflow {
	var all []ci.Workflow
	for p := range w.db.Pipelines(context.Background(), ci.Query{Limit: 1000}) {
		some, _ := w.db.Workflows(context.Background(), p.ID)
		all = append(all, some...)
	}
	slices.SortStableFunc(all, func(a, b ci.Workflow) int { return a.Created.Compare(b.Created) })
	return all
}

// cancel cancels a workflow that runs, or one job of it.
func (w *world) cancel(i int) {
	open := slices.DeleteFunc(w.flows(), func(f ci.Workflow) bool { return f.Status.Ended() })
	if len(open) == 0 {
		return
	}
	f := open[w.dice.n(len(open), "cancel")]
	note := func() {
		now, _ := w.db.Workflow(context.Background(), f.ID)
		w.border.cancel(slices.Concat(now.Jobs, now.Past))
	}
	if j := f.Jobs[w.dice.n(len(f.Jobs), "cancel job")]; i%3 == 0 && !j.Status.Ended() {
		w.asks("cancel job "+j.Name, func(l *life) error { return l.Server.CancelJob(context.Background(), f.ID, j.ID, alice) }, func() {
			w.people.mu.Lock()
			defer w.people.mu.Unlock()
			w.people.jobs[j.ID] = true
			note()
		})
		return
	}
	w.asks("cancel workflow "+f.Name, func(l *life) error { return l.Server.Cancel(context.Background(), f.ID, alice) }, func() {
		w.people.mu.Lock()
		defer w.people.mu.Unlock()
		w.people.canceled[f.ID] = true
		note()
	})
}

// approveAll lets all pass that wait for a person.
func (w *world) approveAll() {
	for _, f := range w.flows() {
		for _, j := range f.Jobs {
			if j.Status != ci.OnHold {
				continue
			}
			w.asks("approve "+j.Name, func(l *life) error { return l.Server.Approve(context.Background(), f.ID, j.ID, alice) }, func() {
				w.people.mu.Lock()
				defer w.people.mu.Unlock()
				w.people.approvals[j.ID] = true
			})
		}
	}
}

// rerun runs what failed once more, in place if the workflow runs.
func (w *world) rerun() {
	all := slices.DeleteFunc(w.flows(), func(f ci.Workflow) bool { return f.Status == ci.Success })
	if len(all) == 0 {
		return
	}
	f := all[w.dice.n(len(all), "rerun")]
	w.asks("rerun "+f.Name, func(l *life) error {
		_, err := l.Server.Rerun(context.Background(), f.ID, ci.Rerun{FromFailed: true}, alice)
		if errors.Is(err, ci.ErrConflict) {
			return fmt.Errorf("not now: %w", err)
		}
		return err
	}, func() {})
}
