package ci

import (
	"fmt"
	"time"
)

// A Workflow is a running graph of jobs. Its methods are the rules of the
// graph: each changes the value, touches nothing else, and returns the events
// that tell what happened, in order. A method that returns an error has
// changed nothing. A Workflow is not safe for concurrent use; a [Store] lets
// one change at a time touch it.
type Workflow struct {
	ID       WorkflowID `json:"id"`
	Pipeline PipelineID `json:"pipeline"`
	Project  ProjectID  `json:"project"`
	Org      string     `json:"org"`
	Repo     string     `json:"repo,omitempty"`
	Name     string     `json:"name"`
	Status   Status     `json:"status"`
	// Jobs are the current attempts, in the order of the configuration; Past
	// are attempts that a newer one has replaced, oldest first.
	Jobs []Job `json:"jobs"`
	Past []Job `json:"past,omitempty"`
	// Setup says that it is the setup workflow of a pipeline, which finds out
	// what the pipeline is to do.
	Setup bool `json:"setup,omitempty"`
	// RerunOf is the workflow that this one repeats.
	RerunOf  WorkflowID `json:"rerun_of,omitempty"`
	By       Actor      `json:"by,omitzero"`
	Canceled Actor      `json:"canceled,omitzero"` // who canceled it, if Status says so
	Created  time.Time  `json:"created"`
	Stopped  time.Time  `json:"stopped,omitzero"`
}

// NewWorkflow makes the workflow of a plan and starts what requires nothing.
func NewWorkflow(p Pipeline, org string, plan PlannedWorkflow, by Actor, now time.Time) (Workflow, []Event) {
	w := Workflow{
		ID: WorkflowID(NewID()), Pipeline: p.ID, Project: p.Trigger.Project, Org: org,
		Name: plan.Name, Status: Running, By: by, Created: now,
	}
	for _, j := range plan.Jobs {
		w.Jobs = append(w.Jobs, newJob(j))
	}
	return w, append([]Event{w.event(WorkflowStarted, now)}, w.advance(now)...)
}

// of notes the repository that a new workflow is about, also in its events.
func (w *Workflow) of(repo string, events []Event) {
	w.Repo = repo
	for _, e := range events {
		if e.Task != nil {
			e.Task.Repo = repo
		}
	}
}

// Job returns the current attempt with that identity, or nil.
func (w *Workflow) Job(id JobID) *Job { return find(w.Jobs, func(j *Job) bool { return j.ID == id }) }

// JobNamed returns the current attempt of the named job, or nil.
func (w *Workflow) JobNamed(name string) *Job {
	return find(w.Jobs, func(j *Job) bool { return j.Name == name })
}

// Attempt returns the job with that identity, current or past, or nil.
func (w *Workflow) Attempt(id JobID) *Job {
	if j := w.Job(id); j != nil {
		return j
	}
	return find(w.Past, func(j *Job) bool { return j.ID == id })
}

func find(jobs []Job, is func(*Job) bool) *Job {
	for i := range jobs {
		if is(&jobs[i]) {
			return &jobs[i]
		}
	}
	return nil
}

// Report applies what became of a task. The same report twice, a late one
// about a job that has ended or has been replaced, and one that only repeats
// the status change nothing and are no error. [ErrConflict] are a report of an
// older hand-out than the newest known, and one that what has ended waits again:
// whoever sends it would run it again.
func (w *Workflow) Report(r Report, now time.Time) ([]Event, error) {
	id, index, ok := r.Task.Split()
	if !ok {
		return nil, fmt.Errorf("report of task %q: %w", r.Task, ErrInvalid)
	}
	j := w.Job(id)
	if j == nil {
		if w.Attempt(id) != nil {
			return nil, r.late()
		}
		return nil, fmt.Errorf("report of task %s: no such job in workflow %s: %w", r.Task, w.ID, ErrNotFound)
	}
	if j.Status.Ended() {
		return nil, r.late()
	}
	if index >= len(j.Tasks) {
		return nil, fmt.Errorf("report of task %s: job %s has %d tasks: %w", r.Task, j.Name, len(j.Tasks), ErrInvalid)
	}
	t := &j.Tasks[index]
	switch {
	case r.Epoch < t.Epoch:
		return nil, fmt.Errorf("report of task %s: epoch %d is older than %d: %w", r.Task, r.Epoch, t.Epoch, ErrConflict)
	case t.Status == r.Status && t.Epoch == r.Epoch:
		return nil, nil
	case t.Status.Ended():
		return nil, r.late()
	case t.Status == Queued && r.Status == Running && t.Epoch > 0 && t.Epoch == r.Epoch:
		return nil, nil // late: that hand-out has been taken back
	case t.Status != r.Status:
		if err := checkTransition("report of task "+string(r.Task), t.Status, r.Status); err != nil {
			return nil, err
		}
	}
	t.set(r, now)
	events := w.settle(j, now)
	if len(events) == 0 {
		e := w.jobEvent(TaskChanged, j, now)
		e.Node, e.Status, e.Reason = index, t.Status, t.Reason
		events = append(events, e)
	}
	return append(events, w.advance(now)...), nil
}

// late is what comes of a report about what has ended.
func (r Report) late() error {
	if r.Status == Queued {
		return fmt.Errorf("report of task %s: it has ended and does not wait again: %w", r.Task, ErrConflict)
	}
	return nil
}

// set writes the report into the state.
func (t *TaskState) set(r Report, now time.Time) {
	t.Status, t.Epoch, t.Reason = r.Status, r.Epoch, r.Reason
	if r.Node != "" {
		t.Node = r.Node
	}
	started := now
	if !r.Started.IsZero() && r.Started.Before(now) {
		started = r.Started
	}
	switch {
	case r.Status.Ended():
		t.Stopped = now
		if t.Started.IsZero() {
			t.Started = started
		}
	case r.Status == Running:
		t.Started = started
	case r.Status == Queued:
		t.Started, t.Node = time.Time{}, ""
	}
}

// settle brings the job's status in line with its tasks.
func (w *Workflow) settle(j *Job, now time.Time) []Event {
	next := j.outcome()
	if next == j.Status {
		return nil
	}
	j.Reason = ""
	for i, t := range j.Tasks {
		if t.Status == next && t.Reason != "" {
			j.Reason = t.Reason
			if len(j.Tasks) > 1 {
				j.Reason = fmt.Sprintf("node %d: %s", i, t.Reason)
			}
			break
		}
	}
	var events []Event
	kind := JobEnded
	switch next {
	case Running:
		kind = JobStarted
		j.Started = j.began(now)
	case Queued:
		kind = JobRequeued
		j.Started = time.Time{}
	default:
		if j.Started.IsZero() && next != InfraFailed && next != Unauthorized { // so short that its start was never told
			j.Started, j.Status = j.began(now), Running
			events = append(events, w.jobEvent(JobStarted, j, now))
		}
	}
	w.move(j, next, now)
	return append(events, w.jobEvent(kind, j, now))
}

// move sets the status of a job and, if that is final, its end.
func (w *Workflow) move(j *Job, s Status, now time.Time) {
	j.Status = s
	if s.Ended() {
		j.Stopped = now
	}
}

// Approve lets an approval job pass. A job that is not on hold is
// [ErrConflict].
func (w *Workflow) Approve(id JobID, by Actor, now time.Time) ([]Event, error) {
	j := w.Job(id)
	switch {
	case j == nil:
		return nil, fmt.Errorf("approve job %s: %w", id, ErrNotFound)
	case j.Type != JobApproval:
		return nil, fmt.Errorf("approve job %s: not an approval job: %w", j.Name, ErrInvalid)
	case j.Status != OnHold:
		return nil, fmt.Errorf("approve job %s: it is %s, not on hold: %w", j.Name, j.Status, ErrConflict)
	}
	j.Approved = by
	w.move(j, Success, now)
	approved, ended := w.jobEvent(JobApproved, j, now), w.jobEvent(JobEnded, j, now)
	approved.Actor, ended.Actor = by, by
	return append([]Event{approved, ended}, w.advance(now)...), nil
}

// Cancel ends the workflow and every job of it that has not ended. Canceling a
// workflow that has ended is [ErrConflict].
func (w *Workflow) Cancel(by Actor, reason string, now time.Time) ([]Event, error) {
	if w.Status.Ended() {
		return nil, fmt.Errorf("cancel workflow %s: it has ended (%s): %w", w.Name, w.Status, ErrConflict)
	}
	var events []Event
	for i := range w.Jobs {
		events = append(events, w.cancel(&w.Jobs[i], by, reason, now)...)
	}
	w.Canceled = by
	return append(events, w.sum(now)...), nil
}

// CancelJob ends one job. Canceling a job that has ended is [ErrConflict].
func (w *Workflow) CancelJob(id JobID, by Actor, now time.Time) ([]Event, error) {
	j := w.Job(id)
	switch {
	case j == nil:
		return nil, fmt.Errorf("cancel job %s: %w", id, ErrNotFound)
	case j.Status.Ended():
		return nil, fmt.Errorf("cancel job %s: it has ended (%s): %w", j.Name, j.Status, ErrConflict)
	}
	w.Canceled = by
	return append(w.cancel(j, by, "", now), w.advance(now)...), nil
}

// cancel ends the job and its tasks, if it has not ended.
func (w *Workflow) cancel(j *Job, by Actor, reason string, now time.Time) []Event {
	if j.Status.Ended() {
		return nil
	}
	for i := range j.Tasks {
		if t := &j.Tasks[i]; !t.Status.Ended() {
			t.Status, t.Stopped = Canceled, now
		}
	}
	j.Reason = "canceled by " + by.String()
	if reason != "" {
		j.Reason += ": " + reason
	}
	w.move(j, Canceled, now)
	e := w.jobEvent(JobEnded, j, now)
	e.Actor = by
	return []Event{e}
}

// advance moves every waiting job whose requirements have all ended, until
// nothing moves any more, and brings the workflow's status in line.
func (w *Workflow) advance(now time.Time) []Event {
	byName := make(map[string]*Job, len(w.Jobs))
	for i := range w.Jobs {
		byName[w.Jobs[i].Name] = &w.Jobs[i]
	}
	var events []Event
	for moved := true; moved; {
		moved = false
		for i := range w.Jobs {
			j := &w.Jobs[i]
			if j.Status != Blocked {
				continue
			}
			if e, ok := w.unblock(j, byName, now); ok {
				events = append(events, e)
				moved = true
			}
		}
	}
	return append(events, w.sum(now)...)
}

// unblock moves a waiting job if its requirements allow or forbid it to run.
func (w *Workflow) unblock(j *Job, byName map[string]*Job, now time.Time) (Event, bool) {
	waits := false
	for _, r := range j.Requires {
		required, known := byName[r.Job]
		switch {
		case !known: // filtered out by the compiler: no requirement
		case !required.Status.Ended():
			waits = true
		case !required.Status.satisfies(r):
			j.Reason = fmt.Sprintf("job %q ended as %s", r.Job, required.Status)
			w.move(j, NotRun, now)
			return w.jobEvent(JobEnded, j, now), true
		}
	}
	if waits {
		return Event{}, false
	}
	switch j.Type {
	case JobApproval:
		j.Status = OnHold
		return w.jobEvent(JobHeld, j, now), true
	case JobNoOp:
		w.move(j, Success, now)
		return w.jobEvent(JobEnded, j, now), true
	}
	if j.Refused != "" {
		j.Reason = j.Refused
		w.move(j, Unauthorized, now)
		return w.jobEvent(JobEnded, j, now), true
	}
	j.Status, j.Queued = Queued, now
	j.Tasks = make([]TaskState, j.Parallelism)
	for i := range j.Tasks {
		j.Tasks[i].Status = Queued
	}
	e := w.jobEvent(JobQueued, j, now)
	e.Task = new(w.task(j))
	return e, true
}

// task returns slice 0 of a build job. Store writes the number, if it is new.
func (w *Workflow) task(j *Job) Task {
	return Task{
		Job: j.ID, Name: j.Name, Number: j.Number, Workflow: w.ID, Pipeline: w.Pipeline,
		Project: w.Project, Org: w.Org, Repo: w.Repo, Total: j.Parallelism, Class: j.Class,
		Executor: j.Executor, Queued: j.Queued,
	}.Slice(0)
}

// sum brings the workflow's status in line with its jobs.
func (w *Workflow) sum(now time.Time) []Event {
	s := w.outcome()
	if s == w.Status {
		return nil
	}
	w.Status = s
	kind := WorkflowChanged
	w.Stopped = time.Time{}
	if s.Ended() {
		kind, w.Stopped = WorkflowEnded, now
	}
	return []Event{w.event(kind, now)}
}

// outcome returns the status of the workflow from those of its jobs.
func (w *Workflow) outcome() Status {
	var active, held, bad, canceled, unauthorized, ran bool
	for i := range w.Jobs {
		s := w.Jobs[i].Status
		active = active || s == Queued || s == Running
		held = held || s == OnHold
		bad = bad || s.Bad()
		unauthorized = unauthorized || s == Unauthorized
		canceled = canceled || s == Canceled
		ran = ran || s == Success
	}
	switch {
	case active && bad:
		return Failing
	case active:
		return Running
	case held:
		return OnHold
	case canceled:
		return Canceled
	case unauthorized:
		return Unauthorized
	case bad:
		return Failed
	case ran || len(w.Jobs) == 0:
		return Success
	}
	return NotRun
}

// event returns an event about the workflow itself.
func (w *Workflow) event(kind EventKind, now time.Time) Event {
	e := Event{
		Time: now, Kind: kind, Project: w.Project, Pipeline: w.Pipeline,
		Workflow: w.ID, Name: w.Name, Status: w.Status, Actor: w.By,
	}
	if w.Status == Canceled {
		e.Actor = w.Canceled
	}
	return e
}

// jobEvent returns an event about a job of the workflow.
func (w *Workflow) jobEvent(kind EventKind, j *Job, now time.Time) Event {
	return Event{
		Time: now, Kind: kind, Project: w.Project, Pipeline: w.Pipeline, Workflow: w.ID,
		Job: j.ID, Name: j.Name, Number: j.Number, Status: j.Status, Reason: j.Reason,
	}
}

// Upstream returns the names of all jobs that the named one requires, directly
// or not, each behind those it requires itself.
func (w *Workflow) Upstream(name string) []string { return w.requirements().upstream(name) }

// requirements is the graph by name: what each job requires directly.
type requirements map[string][]Requirement

func (w *Workflow) requirements() requirements {
	g := make(requirements, len(w.Jobs))
	for i := range w.Jobs {
		g[w.Jobs[i].Name] = w.Jobs[i].Requires
	}
	return g
}

func (g requirements) upstream(name string) []string {
	var order []string
	seen := map[string]bool{name: true}
	var visit func(string)
	visit = func(n string) {
		for _, r := range g[n] {
			if _, known := g[r.Job]; known && !seen[r.Job] {
				seen[r.Job] = true
				visit(r.Job)
				order = append(order, r.Job)
			}
		}
	}
	visit(name)
	return order
}

// behind returns the jobs that require one of the named, directly or not.
func (g requirements) behind(named map[string]bool) map[string]bool {
	next := make(map[string][]string, len(g)) // the other way round
	for name, requires := range g {
		for _, r := range requires {
			next[r.Job] = append(next[r.Job], name)
		}
	}
	found := make(map[string]bool)
	var visit func(string)
	visit = func(n string) {
		for _, m := range next[n] {
			if !found[m] {
				found[m] = true
				visit(m)
			}
		}
	}
	for n := range named {
		visit(n)
	}
	return found
}
