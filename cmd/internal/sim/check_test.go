package sim

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/fsck"
	"github.com/rondo-ci/rondo/scheduler"
)

// check compares what there is in the end with what was acknowledged.
func (w *world) check() {
	ctx := context.Background()
	w.checkPeople(ctx)
	flows := map[ci.WorkflowID]ci.Workflow{}
	for _, f := range w.flows() {
		flows[f.ID] = f
		w.checkFlow(f)
	}
	w.checkTasks(flows)
	w.checkEvents(ctx, flows)
	w.checkLogs(ctx)
	src := fsck.Source{
		Store: w.db, Records: w.db, Tickets: w.db.Backlog().Open, Cursor: w.db.Backlog().Cursor,
		ReadLog: func(ctx context.Context, k ci.LogKey) (io.ReadCloser, error) { return w.logs.Read(ctx, k, 0) },
	}
	for f, err := range fsck.Examine(ctx, src, fsck.Config{Again: -1}) {
		if f.Code == fsck.LogLength && w.border.excused(f.Object) {
			continue
		}
		w.trace.breaks("P30: fsck: %v %v", f, err)
	}
}

// checkPeople: what was accepted is there, once; what was canceled stays so.
func (w *world) checkPeople(ctx context.Context) {
	keys := map[string]ci.PipelineID{}
	for p := range w.db.Pipelines(ctx, ci.Query{Limit: 1000}) {
		if old, twice := keys[p.Trigger.Key]; twice {
			w.trace.breaks("P2: trigger %s made pipelines %s and %s", p.Trigger.Key, old, p.ID)
		}
		keys[p.Trigger.Key] = p.ID
		if p.State == ci.PipelinePending {
			w.trace.breaks("P1: pipeline %s is pending for ever", p.Trigger.Key)
		}
	}
	for key, id := range w.people.accepted {
		if keys[key] != id {
			w.trace.breaks("P1: trigger %s was accepted as %s and is %q", key, id, keys[key])
		}
	}
	for id := range w.people.canceled {
		if f, err := w.db.Workflow(ctx, id); err != nil || f.Status != ci.Canceled {
			w.trace.breaks("P27: workflow %s was canceled and is %s (%v)", f.Name, f.Status, err)
		}
	}
}

// checkFlow: the end of a workflow follows from those of its jobs, and theirs
// from what they require. It is the reference, by names only.
func (w *world) checkFlow(f ci.Workflow) {
	count := map[ci.Status]int{}
	for _, j := range f.Jobs {
		count[j.Status]++
		if !j.Status.Ended() {
			w.trace.breaks("P5: job %s is %s for ever", j.Name, j.Status)
		}
		met, never := true, ""
		for _, q := range j.Requires {
			if r := f.JobNamed(q.Job); r != nil && !satisfied(q, r.Status) {
				met, never = false, q.Job
			}
		}
		switch {
		case len(f.Past) > 0 || f.RerunOf != "":
			// What a job required may have run again since; the events tell.
		case j.Status == ci.NotRun && met:
			w.trace.breaks("P25: job %s did not run, and might have", j.Name)
		case j.Status != ci.NotRun && j.Status != ci.Canceled && !met:
			w.trace.breaks("P25: job %s is %s although %s is not as it requires", j.Name, j.Status, never)
		}
		if (w.people.jobs[j.ID]) && j.Status != ci.Canceled {
			w.trace.breaks("P27: job %s was canceled and is %s", j.Name, j.Status)
		}
		if w.people.approvals[j.ID] && j.Status != ci.Success {
			w.trace.breaks("P25: job %s was approved and is %s", j.Name, j.Status)
		}
	}
	want := ci.NotRun
	switch bad := count[ci.Failed] + count[ci.TimedOut] + count[ci.InfraFailed]; {
	case count[ci.Canceled] > 0:
		want = ci.Canceled
	case bad > 0:
		want = ci.Failed
	case count[ci.Success] > 0:
		want = ci.Success
	}
	if f.Status != want {
		w.trace.breaks("P25: workflow %s is %s, its jobs make it %s", f.Name, f.Status, want)
	}
}

// satisfied reports whether a job that ended as s fulfils a requirement.
func satisfied(q ci.Requirement, s ci.Status) bool {
	if len(q.Statuses) == 0 {
		return s == ci.Success
	}
	if s == ci.TimedOut || s == ci.InfraFailed {
		s = ci.Failed
	}
	return slices.Contains(q.Statuses, s)
}

// checkTasks: an outcome that was acknowledged is the task's, unless its job was
// canceled; and none is made up.
func (w *world) checkTasks(flows map[ci.WorkflowID]ci.Workflow) {
	for _, f := range flows {
		for _, j := range slices.Concat(f.Jobs, f.Past) {
			for i, t := range j.Tasks {
				id := j.ID.Task(i)
				acked, known := w.border.acked[id]
				if known && (acked.epoch != t.Epoch || acked.status != t.Status) && t.Status != ci.Canceled && !w.border.again[id] {
					w.trace.breaks("P9: %s: epoch %d finished as %s, it is %s of epoch %d (%s)", w.nameOf(id), acked.epoch, acked.status, t.Status, t.Epoch, t.Reason)
				}
				w.checkBegun(id, t.Epoch)
				if strings.HasPrefix(t.Reason, liar+string(scheduler.PlacementLost)) && strings.Contains(t.Reason, "; steps of it had begun") {
					w.trace.breaks("P18: %s was ended although its agent held the lease: %s", w.nameOf(id), t.Reason)
				}
				if t.Status == ci.Success || t.Status == ci.TimedOut {
					said := false
					for _, s := range w.border.meant[handOut{id, t.Epoch}] {
						said = said || s == t.Status
					}
					if !said {
						w.trace.breaks("P4: %s is %s of epoch %d, and no agent said so", w.nameOf(id), t.Status, t.Epoch)
					}
				}
			}
		}
	}
}

// checkBegun: no step is written of a hand-out that was taken back because no
// step of it had begun.
func (w *world) checkBegun(id ci.TaskID, last int64) {
	for epoch := int64(1); epoch < last && !w.border.again[id]; epoch++ {
		steps, _ := w.db.Steps(context.Background(), id, epoch)
		for _, s := range steps {
			if s.Kind != ci.StepEnvironment {
				w.trace.breaks("P6: %s: step %d of epoch %d had begun, and epoch %d was handed out", w.nameOf(id), s.Index, epoch, last)
			}
		}
	}
}

// A tale is what the events say about a workflow, by names of jobs.
type tale struct {
	status map[string]ci.Status
	ended  bool
}

// checkEvents: the events alone tell a lawful story: each job is queued once,
// when what it requires has ended so, and ends once.
func (w *world) checkEvents(ctx context.Context, flows map[ci.WorkflowID]ci.Workflow) {
	tales := map[ci.WorkflowID]*tale{}
	queued, over := map[ci.JobID]int{}, map[ci.JobID]ci.Status{}
	last := uint64(0)
	for e, err := range w.db.Events(ctx, 0) {
		if err != nil || e.Seq != last+1 {
			w.trace.breaks("P8: event %d follows %d (%v)", e.Seq, last, err)
		}
		last = e.Seq
		f, known := flows[e.Workflow]
		if !known || e.Step != nil {
			continue
		}
		t := tales[f.ID]
		if t == nil {
			t = &tale{status: map[string]ci.Status{}}
			tales[f.ID] = t
			for _, j := range f.Jobs {
				if j.Kept {
					t.status[j.Name] = j.Status
				}
			}
		}
		if e.Job == "" {
			if t.ended {
				w.trace.breaks("P25: workflow %s: %s after its end", f.Name, e.Kind)
			}
			t.ended = e.Kind == ci.WorkflowEnded
			continue
		}
		w.checkJobEvent(f, t, e, queued, over)
	}
}

func (w *world) checkJobEvent(f ci.Workflow, t *tale, e ci.Event, queued map[ci.JobID]int, over map[ci.JobID]ci.Status) {
	old, ended := over[e.Job]
	switch e.Kind {
	case ci.JobRetried:
		t.status[e.Name] = ci.Blocked
		delete(over, e.Job) // one that did not run waits again
		return
	case ci.JobQueued, ci.JobHeld:
		if queued[e.Job]++; queued[e.Job] > 1 {
			w.trace.breaks("P25: job %s was queued %d times", e.Name, queued[e.Job])
		}
		for _, q := range f.JobNamed(e.Name).Requires {
			if f.JobNamed(q.Job) != nil && !satisfied(q, t.status[q.Job]) {
				w.trace.breaks("P25: job %s was queued while %s was %q", e.Name, q.Job, t.status[q.Job])
			}
		}
	case ci.JobEnded:
		over[e.Job] = e.Status
	}
	if ended {
		w.trace.breaks("P25: job %s: %s (%s) after it ended as %s", e.Name, e.Kind, e.Status, old)
	}
	t.status[e.Name] = e.Status
}

// missing is how the door marks output that never came.
var missing = regexp.MustCompile(`^\n\[\d+ bytes missing\]\n$`)

// checkLogs: of each step, all is stored that was acknowledged, in order, once.
func (w *world) checkLogs(ctx context.Context) {
	for k, acked := range w.border.bytes {
		r, err := w.logs.Read(ctx, k, 0)
		if err != nil {
			w.trace.breaks("P7: log of %s: %v", w.nameOf(k.Task), err)
			continue
		}
		data, err := io.ReadAll(r)
		_ = r.Close()
		where := fmt.Sprintf("%s epoch %d step %d", w.nameOf(k.Task), k.Epoch, k.Step)
		full := longest(k.Task, k.Epoch, k.Step)
		same := 0
		for same < len(data) && same < len(full) && data[same] == full[same] {
			same++
		}
		rest := string(data[same:])
		if strings.HasPrefix(rest, "[") && same > 0 { // the mark begins as a line's end does
			same, rest = same-1, "\n"+rest
		}
		switch {
		case err != nil:
			w.trace.breaks("P7: log of %s: %v", where, err)
		case int64(same) < acked:
			w.trace.breaks("P7: log of %s: %d bytes were acknowledged, %d are there", where, acked, same)
		case rest != "" && !missing.MatchString(rest):
			w.trace.breaks("P7: log of %s: after %d bytes follows %.40q", where, same, rest)
		}
	}
}
