package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A place in the tree where a job is.
type jobPlace struct {
	project  ci.Project
	workflow ci.Workflow
	job      ci.Job
	node     int // the chosen task
	epoch    int64
}

func (p jobPlace) task() ci.TaskID { return p.job.ID.Task(p.node) }

// state returns that of the chosen task; the zero state before it is queued.
func (p jobPlace) state() ci.TaskState {
	if p.node < len(p.job.Tasks) {
		return p.job.Tasks[p.node]
	}
	return ci.TaskState{}
}

// jobs serves /jobs/{slug}/{number}, what is below it, and the redirect from
// /jobs/{job ID}.
func (s *site) jobs(w http.ResponseWriter, r *http.Request) error {
	rest := r.PathValue("rest")
	slug, number, verb, ok := splitJobPath(rest)
	if !ok {
		return s.jobByID(w, r, ci.JobID(rest))
	}
	place, err := s.findJob(r.Context(), slug, number)
	if err != nil {
		return err
	}
	if err := place.choose(r.URL.Query()); err != nil {
		return err
	}
	switch verb {
	case "log":
		return s.rawLog(w, r, place)
	case "output":
		return s.output(w, r, place)
	case "events":
		return s.jobEvents(w, r, place)
	case "view":
		return s.viewLog(w, r, place)
	case "lines":
		return s.moreLines(w, r, place)
	case "search":
		return s.searchLog(w, r, place)
	case "test":
		return s.testHistory(w, r, place)
	}
	return s.job(w, r, place)
}

// jobByID redirects to the canonical address of a job, or to its workflow when
// it has no page.
func (s *site) jobByID(w http.ResponseWriter, r *http.Request, id ci.JobID) error {
	wid, err := s.read.JobWorkflow(r.Context(), id)
	if err != nil {
		return err
	}
	wf, err := s.read.Workflow(r.Context(), wid)
	if err != nil {
		return err
	}
	j := wf.Attempt(id)
	if j == nil || j.Number == 0 {
		redirect(w, WorkflowPath(wid), http.StatusFound)
		return nil
	}
	project, err := s.read.Project(r.Context(), wf.Project)
	if err != nil {
		return err
	}
	redirect(w, JobPath(project, j.Number), http.StatusFound)
	return nil
}

func (s *site) findJob(ctx context.Context, slug string, number int64) (jobPlace, error) {
	var p jobPlace
	var err error
	if p.project, err = s.read.ProjectBySlug(ctx, slug); err != nil {
		return p, err
	}
	wid, jid, err := s.read.JobByNumber(ctx, p.project.ID, number)
	if err != nil {
		return p, err
	}
	if p.workflow, err = s.read.Workflow(ctx, wid); err != nil {
		return p, err
	}
	j := p.workflow.Attempt(jid)
	if j == nil {
		return p, fmt.Errorf("job %d: %w", number, ci.ErrNotFound)
	}
	p.job = *j
	return p, nil
}

// choose sets the task and the hand-out that the address names: task (an
// identity) or node (an index), and epoch. Without one it is the first task
// that ended badly, or else the first.
func (p *jobPlace) choose(f url.Values) error {
	switch {
	case f.Get("task") != "":
		job, node, ok := ci.TaskID(f.Get("task")).Split()
		if !ok || job != p.job.ID || ci.TaskID(f.Get("task")) != job.Task(node) {
			return fmt.Errorf("task %.100q: %w", f.Get("task"), ci.ErrNotFound)
		}
		p.node = node
	case f.Get("node") != "":
		n, err := strconv.ParseUint(f.Get("node"), 10, 31)
		if err != nil {
			return fmt.Errorf("node %.100q: %w", f.Get("node"), ci.ErrNotFound)
		}
		p.node = int(n)
	default:
		for i, t := range p.job.Tasks {
			if t.Status.Bad() {
				p.node = i
				break
			}
		}
	}
	if p.node > 0 && p.node >= len(p.job.Tasks) {
		return fmt.Errorf("node %d: %w", p.node, ci.ErrNotFound)
	}
	p.epoch = p.state().Epoch
	if f.Get("epoch") != "" {
		n, err := strconv.ParseInt(f.Get("epoch"), 10, 64)
		if err != nil || n < 1 || n > p.epoch {
			return fmt.Errorf("hand-out %.100q: %w", f.Get("epoch"), ci.ErrNotFound)
		}
		p.epoch = n
	}
	return nil
}

// jobBody is what a job's page shows.
type jobBody struct {
	Project  ci.Project
	Workflow ci.Workflow
	Pipeline ci.Pipeline
	Job      ci.Job
	Path     string // canonical
	Node     int
	Epoch    int64
	Epochs   []int64 // of the chosen task; empty when there was only one
	State    ci.TaskState
	Attempts []attempt // of the job, this one among them; empty for one
	Wait     string    // why it waits
	Since    time.Time // since when it does
	Advice   *advice   // what to do about how it ended; nil is nothing
	Reason   *ci.Reason
	Wrong    *ci.Diagnosis // what keeps it from running; nil is nothing
	Hops     []ci.Hop
	Tab      string // steps, tests or artifacts
	Steps    []stepView
	Tests    testsView
	Files    filesView
	CanRerun bool
	Current  bool // it is the newest attempt
}

// JobPath is the address of the page, and Wanted what the field for a search
// holds.
func (b jobBody) JobPath() string { return b.Path }

// Wanted is described above.
func (jobBody) Wanted() string { return "" }

// An attempt is one of the attempts of a job in its workflow.
type attempt struct {
	ci.Job
	Path string
	Here bool
}

// job serves a job's page.
func (s *site) job(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	ctx := r.Context()
	seq, err := s.read.LastEvent(ctx)
	if err != nil {
		return err
	}
	// Once more, since what is shown must not be older than seq.
	if at.workflow, err = s.read.Workflow(ctx, at.workflow.ID); err != nil {
		return err
	}
	if j := at.workflow.Attempt(at.job.ID); j != nil {
		at.job = *j
	}
	if err := at.choose(r.URL.Query()); err != nil {
		return err
	}
	b := jobBody{
		Project: at.project, Workflow: at.workflow, Job: at.job, Path: JobPath(at.project, at.job.Number),
		Node: at.node, Epoch: at.epoch, State: at.state(), Tab: r.URL.Query().Get("tab"),
		Current: at.workflow.Job(at.job.ID) != nil,
	}
	b.CanRerun = b.Current && (at.job.Status.Ended() || at.workflow.Status.Ended())
	if b.Pipeline, err = s.read.Pipeline(ctx, at.workflow.Pipeline); err != nil {
		return err
	}
	b.history(at)
	s.fillWait(ctx, &b)
	if b.Advice, err = s.advise(ctx, at); err != nil {
		return err
	}
	if err := s.fillTab(ctx, &b, at, r.URL.Query()); err != nil {
		return err
	}
	v := view{
		Title: show(at.job.Name) + " · " + show(at.project.Slug) + " #" + itoa(at.job.Number), Status: at.job.Status, Body: b,
		Crumbs: s.jobCrumbs(at, b.Pipeline, crumb{show(at.job.Name), ""}),
	}
	switch {
	case at.job.Status.Ended() && b.liveSteps() == 0:
	case b.Tab != "steps" || at.epoch != at.state().Epoch:
		v.Live = live(seq, "job", string(at.job.ID))
	default:
		v.Live = b.Path + "/events?" + url.Values{
			"node": {strconv.Itoa(at.node)}, "at": {b.cursor(seq).String()},
		}.Encode()
	}
	if at.job.Status == ci.Queued {
		v.Refresh = 3
	}
	return s.render(w, r, http.StatusOK, "job", v)
}

// jobCrumbs returns the way to a page of a job.
func (s *site) jobCrumbs(at jobPlace, p ci.Pipeline, more ...crumb) []crumb {
	return s.crumbs(at.project, append([]crumb{
		{"#" + itoa(p.Number), PipelinePath(p.ID)},
		{show(at.workflow.Name), WorkflowPath(at.workflow.ID)},
	}, more...)...)
}

// history lists the hand-outs of the chosen task and the attempts of the job.
func (b *jobBody) history(at jobPlace) {
	if newest := at.state().Epoch; newest > 1 {
		for e := max(newest-9, 1); e <= newest; e++ {
			b.Epochs = append(b.Epochs, e)
		}
	}
	for _, j := range append(at.workflow.Past[:len(at.workflow.Past):len(at.workflow.Past)], at.workflow.Jobs...) {
		if j.Name == at.job.Name {
			b.Attempts = append(b.Attempts, attempt{j, JobPath(at.project, j.Number), j.ID == at.job.ID})
		}
	}
	if len(b.Attempts) == 1 {
		b.Attempts = nil
	}
}

// fillWait says why a job waits.
func (s *site) fillWait(ctx context.Context, b *jobBody) {
	b.Since = waitingSince(&b.Workflow, b.Job)
	switch b.Job.Status {
	case ci.Blocked:
		b.Wait = waitsFor(&b.Workflow, b.Job)
	case ci.Queued:
		b.Wait = "waits for a place to run"
		b.Reason = s.explain(ctx, b.Job)
	}
	s.diagnose(ctx, b)
}

// fillTab reads what the chosen tab shows.
func (s *site) fillTab(ctx context.Context, b *jobBody, at jobPlace, f url.Values) error {
	var err error
	switch b.Tab {
	case "tests":
		b.Tests, err = s.tests(ctx, at)
	case "artifacts":
		b.Files, err = s.files(ctx, at)
	default:
		b.Tab = "steps"
		if !f.Has("part") { // the steps come with the events
			b.Steps, err = s.steps(ctx, at)
		}
		if err == nil && at.job.Status.Bad() {
			b.Tests, err = s.tests(ctx, at)
		}
	}
	return err
}

// Waited returns how long the job waited for a place, or has so far.
func (b jobBody) Waited() clock {
	if b.Job.Started.IsZero() {
		return clockOf(b.Job.Queued, b.Job.Stopped)
	}
	return clockOf(b.Job.Queued, b.Job.Started)
}

// diagnose says what is wrong with a task that waits, runs in silence, or ended
// by a fault of the installation; and how it came so far.
func (s *site) diagnose(ctx context.Context, b *jobBody) {
	ops := s.cfg.Queue.Operations
	if ops == nil || b.Job.Status != ci.Queued && b.Job.Status != ci.Running && b.Job.Status != ci.InfraFailed {
		return
	}
	node := b.Node
	for i, t := range b.Job.Tasks { // the chosen one, or the first that waits
		if b.Job.Status == ci.Queued && b.State.Status != ci.Queued && t.Status == ci.Queued {
			node = i
			break
		}
	}
	x, err := ops.Explain(ctx, b.Job.ID.Task(node), actorIn(ctx))
	if err != nil {
		if !hidden(err) && ctx.Err() == nil {
			s.log.Warn("explain task", "job", b.Job.ID, "err", err)
		}
		return
	}
	b.Wrong = x.Diagnosis
	if b.Wrong != nil && b.Reason != nil && b.Wrong.Text == b.Reason.Text {
		b.Wrong.Text = "" // it stands above
	}
	if b.Job.Status == ci.Queued {
		b.Hops = x.Hops
	}
}
