package ci_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
)

// A world is everything around one workflow: a queue that hands tasks out and
// sometimes loses them, agents that report, mail that arrives late, twice or
// in another order, and people who press every button.
type world struct {
	t    require.TestingT
	dice func(n int) int // uniform in [0, n)
	f    *flow
	m    *model
	out  []handOut   // tasks that have not ended
	mail []ci.Report // not delivered yet
	seen int         // tasks of f.tasks that are in out already
	// buttons is how many more disturbances people make.
	buttons int
	reruns  int
}

type handOut struct {
	task  ci.TaskID
	epoch int64
}

// randomPlan returns a graph of n jobs in a random order of writing, and the
// names in an order in which each stands behind those it requires.
func randomPlan(n int, dice func(int) int) (ci.PlannedWorkflow, []string) {
	statuses := []ci.Status{ci.Success, ci.Failed, ci.Canceled, ci.NotRun, ci.Unauthorized}
	jobs := make([]ci.PlannedJob, n)
	names := make([]string, n)
	for i := range jobs {
		j := &jobs[i]
		j.Name = fmt.Sprintf("job-%d", i)
		names[i] = j.Name
		switch dice(16) {
		case 0:
			j.Type = ci.JobApproval
		case 1:
			j.Type = ci.JobNoOp
		case 2, 3:
			j.Parallelism = 1 + dice(4)
		}
		for range min(dice(4), i) {
			r := ci.Requirement{Job: names[i-1-dice(min(i, 12))]}
			if slices.ContainsFunc(j.Requires, func(o ci.Requirement) bool { return o.Job == r.Job }) {
				continue
			}
			if dice(4) == 0 {
				from := dice(len(statuses))
				r.Statuses = statuses[from : from+1+dice(len(statuses)-from)]
			}
			j.Requires = append(j.Requires, r)
		}
		if dice(20) == 0 {
			j.Requires = append(j.Requires, ci.Requirement{Job: "filtered-out"})
		}
	}
	for i := range jobs {
		k := i + dice(n-i)
		jobs[i], jobs[k] = jobs[k], jobs[i]
	}
	return ci.PlannedWorkflow{Name: "random", Jobs: jobs}, names
}

// runWorld plays one random history to its end.
func runWorld(t require.TestingT, n, buttons int, dice func(int) int) {
	plan, names := randomPlan(n, dice)
	m := &model{names: names, jobs: map[string]*modelJob{}}
	for _, p := range plan.Jobs {
		m.jobs[p.Name] = &modelJob{plan: p, attempt: 1, status: "blocked"}
	}
	w := &world{t: t, dice: dice, f: newFlow(t, plan), m: m, buttons: buttons, reruns: 2}
	w.compare()
	for !w.over() {
		w.step()
		w.compare()
	}
}

// over checks the end of a workflow, and starts a rerun if there is one left.
func (w *world) over() bool {
	if !w.f.w.Status.Ended() {
		return false
	}
	for _, j := range w.f.w.Jobs {
		require.True(w.t, j.Status.Ended(), "workflow ended but %s is %s", j.Name, j.Status)
		require.False(w.t, j.Stopped.IsZero(), "job %s has no end", j.Name)
	}
	for _, r := range w.mail { // what comes late changes nothing
		w.deliver(r)
		w.compare()
	}
	w.mail, w.out = nil, nil
	if w.reruns == 0 || w.dice(2) == 0 {
		return true
	}
	w.reruns--
	return !w.rerun() || w.over()
}

// compare checks the workflow against the model.
func (w *world) compare() {
	if wrong := w.m.follow(&w.f.w); wrong != "" {
		require.Fail(w.t, "against the rules", "%s\n%s", wrong, w.f.statuses())
	}
	require.Equal(w.t, w.m.status(), w.f.w.Status, "workflow status")
	for ; w.seen < len(w.f.tasks); w.seen++ {
		w.out = append(w.out, handOut{task: w.f.tasks[w.seen]})
	}
}

// step does one random thing.
func (w *world) step() {
	if w.buttons > 0 && w.dice(12) == 0 {
		w.buttons--
		w.press()
		return
	}
	held := w.jobs(ci.OnHold)
	switch d := w.dice(8); {
	case d < 3 && len(w.out) > 0:
		w.work()
	case d < 7 && len(w.mail) > 0:
		i := w.dice(len(w.mail))
		w.deliver(w.mail[i])
		if w.dice(5) > 0 { // else it will come again
			w.mail = slices.Delete(w.mail, i, i+1)
		}
	case len(held) > 0:
		name := held[w.dice(len(held))]
		require.NoError(w.t, w.f.approve(name, bob))
		w.m.jobs[name].status = "success"
	case len(w.out) > 0:
		w.work()
	case len(w.mail) > 0:
		w.deliver(w.mail[0])
		w.mail = w.mail[1:]
	default:
		require.Fail(w.t, "stuck", "nothing can happen any more: %s is %s", w.f.statuses(), w.f.w.Status)
	}
}

// work hands a task out, and lets its agent report.
func (w *world) work() {
	i := w.dice(len(w.out))
	h := &w.out[i]
	h.epoch++
	say := func(s ci.Status) {
		w.mail = append(w.mail, ci.Report{Workflow: w.f.w.ID, Task: h.task, Epoch: h.epoch, Status: s, Node: "n1"})
	}
	if w.dice(8) > 0 { // a short task may be reported ended at once
		say(ci.Running)
	}
	if w.dice(6) == 0 {
		say(ci.Queued) // the agent was lost before it began
		return
	}
	say([]ci.Status{
		ci.Success, ci.Success, ci.Success, ci.Success, ci.Success, ci.Success,
		ci.Failed, ci.Failed, ci.Canceled, ci.TimedOut, ci.InfraFailed,
	}[w.dice(11)])
	w.out = slices.Delete(w.out, i, i+1)
}

// deliver gives a report to both.
func (w *world) deliver(r ci.Report) {
	id, index, ok := r.Task.Split()
	require.True(w.t, ok)
	conflict := false
	if j := w.f.w.Job(id); j != nil {
		conflict = w.m.jobs[j.Name].report(index, r.Epoch, r.Status)
	} else {
		conflict = r.Status == ci.Queued // of an attempt that was replaced
	}
	_, err := w.f.do(func(f *ci.Workflow, now time.Time) ([]ci.Event, error) { return f.Report(r, now) })
	if conflict {
		require.ErrorIs(w.t, err, ci.ErrConflict)
	} else {
		require.NoError(w.t, err, "%+v", r)
	}
}

// jobs returns the names of the jobs in one of the statuses.
func (w *world) jobs(in ...ci.Status) []string {
	var out []string
	for _, j := range w.f.w.Jobs {
		if slices.Contains(in, j.Status) {
			out = append(out, j.Name)
		}
	}
	return out
}

// press presses one of the buttons.
func (w *world) press() {
	name := w.m.names[w.dice(len(w.m.names))]
	j := w.m.jobs[name]
	switch w.dice(6) {
	case 0: // the process dies and reads its state again
		b, err := json.Marshal(w.f.w)
		require.NoError(w.t, err)
		w.f.w = ci.Workflow{}
		require.NoError(w.t, json.Unmarshal(b, &w.f.w))
	case 1:
		err := w.f.cancelJob(name, alice)
		require.Equal(w.t, final[j.status], errors.Is(err, ci.ErrConflict), "cancel %s: %v", name, err)
		j.cancel()
	case 2:
		if w.dice(4) > 0 {
			return
		}
		require.NoError(w.t, w.f.cancel(alice, ""))
		for _, j := range w.m.jobs {
			j.cancel()
		}
	case 3:
		err := w.f.approve(name, alice)
		if j.status != "on_hold" {
			require.Error(w.t, err)
			return
		}
		require.NoError(w.t, err)
		j.status = "success"
	case 4:
		err := w.f.retry(ci.Rerun{FromFailed: true})
		w.retried(err, w.m.retry(w.m.chosen(true, false, nil)))
	case 5:
		down := w.dice(2) == 0
		err := w.f.retry(ci.Rerun{Jobs: w.f.ids(name), Downstream: down})
		again := w.m.chosen(false, down, []string{name})
		w.retried(err, final[j.status] && !w.m.used(again) && w.m.retry(again))
	}
}

// retried compares what a retry said with whether there was anything to retry,
// and forgets the tasks whose attempts were replaced.
func (w *world) retried(err error, some bool) {
	if some {
		require.NoError(w.t, err)
	} else {
		require.ErrorIs(w.t, err, ci.ErrConflict)
	}
	w.out = slices.DeleteFunc(w.out, func(h handOut) bool {
		id, _, _ := h.task.Split()
		return w.f.w.Job(id) == nil
	})
}

// rerun repeats the ended workflow in one of the ways, and reports whether a
// new one runs.
func (w *world) rerun() bool {
	var r ci.Rerun
	var named []string
	switch w.dice(3) {
	case 0:
		r.FromFailed = true
	case 1:
		named = []string{w.m.names[w.dice(len(w.m.names))]}
		r.Jobs, r.Downstream = w.f.ids(named...), w.dice(2) == 0
	}
	again := w.m.chosen(r.FromFailed, r.Downstream, named)
	n, err := w.f.rerun(r)
	if len(again) == 0 {
		require.ErrorIs(w.t, err, ci.ErrInvalid)
		return false
	}
	require.NoError(w.t, err)
	for name, j := range w.m.jobs {
		before, after := w.f.w.JobNamed(name), n.w.JobNamed(name)
		require.Equal(w.t, !again[name], after.Kept, "kept %s", name)
		require.Equal(w.t, again[name], before.ID != after.ID, "identity of %s", name)
		if again[name] {
			j.again()
		}
	}
	w.f, w.seen = n, 0
	w.compare()
	return true
}

// Small graphs, with all disturbances, shrunk by rapid when one goes wrong.
func TestP25_GraphAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		die := map[int]*rapid.Generator[int]{}
		dice := func(n int) int {
			if die[n] == nil {
				die[n] = rapid.IntRange(0, n-1)
			}
			return die[n].Draw(t, "d")
		}
		runWorld(t, 1+dice(12), 6, dice)
	})
}

// Many more of them, up to 40 jobs, from fixed seeds.
func TestP25_ManyGraphs(t *testing.T) {
	t.Parallel()
	seeds := 5000
	if testing.Short() {
		seeds = 300
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 25))
		runWorld(seeded{t, seed}, 1+r.IntN(40), r.IntN(12), r.IntN)
	}
}

// Graphs of 500 jobs: order is kept, no job runs twice, none is lost.
func TestARC04_Graphs500(t *testing.T) {
	t.Parallel()
	seeds := 8
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 500))
		runWorld(seeded{t, seed}, 500, seed, r.IntN)
	}
}

// seeded says which seed went wrong.
type seeded struct {
	*testing.T
	seed int
}

func (s seeded) Errorf(format string, args ...any) {
	s.Helper()
	s.T.Errorf("seed %d: %s", s.seed, fmt.Sprintf(format, args...))
}
