package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Reader reads what events tell of. A [ci.Store] is one.
type Reader interface {
	Project(ctx context.Context, id ci.ProjectID) (ci.Project, error)
	Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error)
	Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error)
	Plan(ctx context.Context, id ci.PipelineID) (*ci.Plan, error)
}

// Follow puts the events of pipelines on record, from where the last Follow
// stopped, until ctx ends; then it returns nil. follow yields all events after
// a number and waits for more (ci.Server.Follow). How far it is and what came
// of it is written at once, so each event is on record exactly once.
func (b *Book) Follow(ctx context.Context, read Reader, follow func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]) error {
	for ctx.Err() == nil {
		err := b.followOn(ctx, read, follow)
		if ctx.Err() == nil {
			b.log.Error("audit log: follow events, will try again", "err", err)
			rest(ctx, minRest)
		}
	}
	return nil
}

// followOn reads events and writes what came of them, those of a short while
// together.
func (b *Book) followOn(ctx context.Context, read Reader, follow func(context.Context, uint64) iter.Seq2[ci.Event, error]) error {
	after, doc, err := b.cursor(ctx, "events")
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	events, fault := make(chan ci.Event), make(chan error, 1)
	go func() {
		defer close(events)
		for e, err := range follow(reading, after) {
			if err != nil {
				fault <- err
				return
			}
			select {
			case events <- e:
			case <-reading.Done():
				return
			}
		}
	}()
	defer func() {
		stop()
		for range events {
		}
	}()
	p := &page{book: b, read: read, doc: doc}
	timer := time.NewTimer(gather)
	defer timer.Stop()
	for {
		select {
		case e, more := <-events:
			if !more {
				err := p.write(context.WithoutCancel(ctx))
				select {
				case bad := <-fault:
					err = firstOf(err, bad)
				default:
				}
				return firstOf(err, ctx.Err())
			}
			had := len(p.changes)
			if err := p.add(ctx, e); err != nil {
				return err
			}
			if had == 0 && len(p.changes) > 0 {
				timer.Reset(gather)
			}
			if len(p.changes) < gatherMost && p.skipped < 10*gatherMost {
				continue
			}
		case <-timer.C:
			if len(p.changes) == 0 { // what is no act is read again after a crash
				continue
			}
		}
		if err := p.write(ctx); err != nil {
			return err
		}
	}
}

// gather is how long events are collected before they are written together,
// gatherMost how many at most.
const (
	gather     = 100 * time.Millisecond
	gatherMost = 100
)

// A page is events on their way into the outbox.
type page struct {
	book    *Book
	read    Reader
	doc     ci.Doc // the cursor
	at      uint64
	changes []ci.DocChange
	skipped int
}

// add takes the next event.
func (p *page) add(ctx context.Context, e ci.Event) error {
	event, ok, err := describeEvent(ctx, p.read, e)
	if err != nil {
		return fmt.Errorf("event %d: %w", e.Seq, err)
	}
	p.at = e.Seq
	if !ok {
		p.skipped++
		return nil
	}
	c, err := outbox(event, e.Seq)
	p.changes = append(p.changes, c)
	return err
}

// write writes what there is, and how far it goes, at once.
func (p *page) write(ctx context.Context) error {
	if len(p.changes) == 0 && p.skipped == 0 {
		return nil
	}
	kept, err := p.book.docs.WriteDocs(ctx, append(p.changes, moved(p.doc, p.at))...)
	if err != nil {
		return err
	}
	p.doc, p.changes, p.skipped = kept[len(kept)-1], nil, 0
	return nil
}

// actionOf returns the action that an event is, "" if it is none.
func actionOf(e ci.Event, w ci.Workflow) string {
	switch e.Kind {
	case ci.PipelineCreated:
		return "rondo.pipeline.create"
	case ci.PipelineContinued:
		return "rondo.pipeline.continue"
	case ci.PipelineErrored:
		return "workflow.error"
	case ci.WorkflowStarted:
		if w.RerunOf != "" {
			return "workflow.retry"
		}
		return "workflow.start"
	case ci.WorkflowEnded:
		switch e.Status {
		case ci.Canceled:
			return "rondo.workflow.cancel"
		case ci.InfraFailed, ci.Unauthorized:
			return "workflow.error"
		}
		return "rondo.workflow.finish"
	case ci.JobQueued, ci.JobRequeued:
		return "workflow.job.scheduled"
	case ci.JobHeld:
		return "rondo.workflow.job.hold"
	case ci.JobApproved:
		return "workflow.job.approve"
	case ci.JobStarted:
		return "workflow.job.start"
	case ci.JobEnded:
		return "workflow.job.finish"
	case ci.JobRetried:
		return "workflow.retry"
	}
	return ""
}

// describeEvent makes the event of the book of one of a pipeline. Who caused a
// pipeline is the actor of what follows from it by itself.
func describeEvent(ctx context.Context, read Reader, e ci.Event) (Event, bool, error) {
	if actionOf(e, ci.Workflow{}) == "" {
		return Event{}, false, nil
	}
	project, err := read.Project(ctx, e.Project)
	p, err2 := read.Pipeline(ctx, e.Pipeline)
	var w ci.Workflow
	var err3 error
	if e.Workflow != "" {
		w, err3 = read.Workflow(ctx, e.Workflow)
	}
	for _, err := range []error{err, err2, err3} {
		if err != nil && !errors.Is(err, ci.ErrNotFound) { // what is gone has its identity still
			return Event{}, false, err
		}
	}
	target := map[string]string{"type": "project", "id": string(e.Project), "name": project.Slug, "org": project.OrgSlug()}
	add := func(key, value string) {
		if value != "" && value != "0" {
			target[key] = value
		}
	}
	branch := p.Trigger.Branch
	if branch == "" {
		branch = p.Trigger.Tag
	}
	action := actionOf(e, w)
	switch {
	case e.Job != "":
		add("job.id", string(e.Job))
		add("job.job_name", e.Name)
		add("job.number", strconv.FormatInt(e.Number, 10))
		add("job.job_status", string(e.Status))
		if action == "workflow.job.finish" {
			contexts, err := contextsOf(ctx, read, e, w)
			if err != nil {
				return Event{}, false, err
			}
			target["job.contexts"] = contexts
		}
	case e.Workflow == "" && e.Kind != ci.PipelineErrored:
		add("pipeline.vcs_branch", branch)
	}
	if e.Workflow != "" {
		add("workflow.id", string(e.Workflow))
		add("workflow.name", w.Name)
		add("workflow.vcs_branch", branch)
		if e.Job == "" {
			add("workflow.status", string(e.Status))
			add("workflow.rerun_of", string(w.RerunOf))
		}
	}
	add("pipeline.id", string(e.Pipeline))
	if e.Job == "" {
		add("pipeline.number", strconv.FormatInt(p.Number, 10))
	}
	by := e.Actor
	switch {
	case by != (ci.Actor{}):
	case action == "rondo.workflow.cancel":
		by = w.Canceled
	default:
		by = w.By
	}
	if by == (ci.Actor{}) && e.Workflow == "" {
		by = p.Trigger.Actor
	}
	act := ci.Act{Action: action, Actor: by, Target: target, Success: action != "workflow.error", Reason: e.Reason, At: e.Time}
	out, err := compose(act, e.Time)
	out.ID = idOf(e.Time, "event "+strconv.FormatUint(e.Seq, 10)+" "+string(e.Pipeline))
	return out, err == nil, err
}

// contextsOf returns the contexts that a job was to get, with commas.
func contextsOf(ctx context.Context, read Reader, e ci.Event, w ci.Workflow) (string, error) {
	plan, err := read.Plan(ctx, e.Pipeline)
	if errors.Is(err, ci.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	j, _ := plan.Job(w.Name, e.Name)
	return strings.Join(j.Contexts, ","), nil
}

// idOf is a UUID (version 7) that the same thing gets each time.
func idOf(at time.Time, what string) string {
	b := sha256.Sum256([]byte("rondo audit " + what))
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6], b[8] = b[6]&0x0f|0x70, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
