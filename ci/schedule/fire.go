package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Firing is what happened the last time that a schedule came up.
type Firing struct {
	Planned time.Time `json:"planned"` // when it should have been
	Fired   time.Time `json:"fired"`   // when it was
	// Late is the time between the two when it is more than a minute, because
	// no server was there or the code host did not answer. Missed is how many
	// more times have passed unused meanwhile, counted up to 1,000.
	Late   time.Duration `json:"late,omitempty"`
	Missed int           `json:"missed,omitempty"`
	// Pipeline is what it started, and Error why it started nothing.
	Pipeline ci.PipelineID `json:"pipeline,omitempty"`
	Error    string        `json:"error,omitempty"`
}

// Punctual is how late a schedule may be without anything being said about it.
const Punctual = time.Minute

// atOnce is how many schedules are triggered at the same time, and patience
// how long one of them may take.
const (
	atOnce   = 8
	patience = 30 * time.Second
)

// look triggers what is due and returns how long there is nothing to do.
func (c *Clock) look(ctx context.Context) (time.Duration, error) {
	now := c.now()
	var due []ci.Doc
	wait := c.cfg.Look
	for _, kind := range []string{kindPipeline, kindWorkflow} {
		for d, err := range c.docs.DueDocs(ctx, kind, now.Add(c.cfg.Look+time.Second), 0) {
			if err != nil {
				return wait, err
			}
			until := max(d.Due.Sub(now), c.pause(d))
			if until <= 0 {
				due = append(due, d)
			} else {
				wait = min(wait, until)
			}
		}
	}
	if len(due) == 0 {
		return wait, nil
	}
	var firing sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, d := range due {
		places <- struct{}{}
		firing.Go(func() {
			defer func() { <-places }()
			err := c.fire(ctx, d)
			c.tried(d, err)
			if err != nil && ctx.Err() == nil {
				c.log.Warn("trigger schedule, will try again", "schedule", d.ID, "planned", d.Due, "wait", c.pause(d), "err", err)
			}
		})
	}
	firing.Wait()
	return 0, nil // time has passed
}

// pause is how long a schedule waits for its next try.
func (c *Clock) pause(d ci.Doc) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tries[d.ID]
	if !ok || !t.planned.Equal(d.Due) {
		return 0
	}
	return time.Until(t.next)
}

// tried notes whether a schedule could be triggered.
func (c *Clock) tried(d ci.Doc, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tries[d.ID]
	if err == nil {
		delete(c.tries, d.ID)
		return
	}
	if !t.planned.Equal(d.Due) {
		t = try{planned: d.Due}
	}
	t.wait = min(max(2*t.wait, time.Second), 5*time.Minute)
	t.next = time.Now().Add(t.wait)
	c.tries[d.ID] = t
}

// fire triggers one document and moves it on. When another clock was faster,
// that is no error.
func (c *Clock) fire(ctx context.Context, d ci.Doc) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e, err := open(d)
	if err != nil {
		d.Due = time.Time{} // nothing that time will mend
		c.log.Error("schedule stopped", "schedule", d.ID, "err", err)
		return c.keep(ctx, ci.DocChange{Doc: d})
	}
	p, err := c.start(ctx, e)
	if err != nil && !final(err) {
		return err
	}
	if errors.Is(err, ci.ErrNotFound) && e.Workflow != "" {
		c.log.Warn("schedule removed, its branch has gone", "project", e.Project, "branch", e.Branch, "workflow", e.Workflow)
		return c.keep(ctx, ci.DocChange{Doc: d, Delete: true})
	}
	now := c.now()
	f := Firing{Planned: d.Due, Fired: now, Pipeline: p.ID}
	if err != nil {
		f.Error = trim(err)
	}
	if late := now.Sub(d.Due); late > Punctual {
		f.Late = late
	}
	f.Missed, d.Due = e.passed(d.Due, now)
	e.Last = &f
	if d.Body, err = e.body(); err != nil {
		return err
	}
	c.tell(e)
	return c.keep(ctx, ci.DocChange{Doc: d})
}

// keep writes a change, unless somebody else has written the document.
func (c *Clock) keep(ctx context.Context, change ci.DocChange) error {
	_, err := c.docs.WriteDocs(ctx, change)
	if errors.Is(err, ci.ErrConflict) {
		return nil
	}
	return err
}

// start triggers the pipeline of the entry's planned time.
func (c *Clock) start(ctx context.Context, e entry) (ci.Pipeline, error) {
	project, err := c.read.Project(ctx, e.Project)
	if err != nil {
		return ci.Pipeline{}, err
	}
	t := ci.Trigger{
		Project: e.Project, Key: e.ID + "@" + e.Next.Format(time.RFC3339Nano), Source: ci.SourceSchedule,
		Actor: e.Actor, Planned: e.Next,
	}
	if t.Actor == (ci.Actor{}) {
		t.Actor = ci.Actor{Kind: ci.ActorSchedule, ID: e.ID}
	} else if c.cfg.May != nil {
		if err := c.cfg.May(ctx, e.Actor, project, true); err != nil {
			return ci.Pipeline{}, fmt.Errorf("%s may not trigger pipelines of %s any more; give the schedule to somebody who may: %w", e.Actor, project.Slug, hide(err))
		}
	}
	if e.Workflow != "" && !project.Followed {
		return ci.Pipeline{}, fmt.Errorf("nobody follows %s any more, so its configuration starts nothing; follow it again: %w", project.Slug, ci.ErrDenied)
	}
	if e.Workflow != "" {
		t.Branch, t.Schedule = e.Branch, e.Workflow
	} else {
		t.Schedule, t.Scheduled = e.Name, e.ID
		t.Branch, t.Tag, t.Parameters = split(e.Parameters)
	}
	return c.trigger(ctx, t)
}

// hide makes of "not found", which would say that the project has gone, a
// plain denial.
func hide(err error) error {
	if errors.Is(err, ci.ErrNotFound) {
		return ci.ErrDenied
	}
	return err
}

// final reports whether trying again would not help.
func final(err error) bool {
	return errors.Is(err, ci.ErrNotFound) || errors.Is(err, ci.ErrInvalid) || errors.Is(err, ci.ErrDenied) || errors.Is(err, ci.ErrConflict)
}

// passed returns the first time of the entry after now, and how many there
// were after the planned one up to now.
func (e entry) passed(planned, now time.Time) (missed int, next time.Time) {
	next = e.hands.next(planned)
	for !next.IsZero() && !next.After(now) {
		if missed++; missed == 1000 {
			return missed, e.hands.next(now)
		}
		next = e.hands.next(next)
	}
	if next.IsZero() || planned.After(now) {
		next = e.hands.next(now)
	}
	return missed, next
}

// tell logs what happened.
func (c *Clock) tell(e entry) {
	f := e.Last
	log := c.log.With("project", e.Project, "schedule", e.ID, "planned", f.Planned)
	switch {
	case f.Error != "":
		log.Warn("schedule could not trigger", "reason", f.Error)
	case f.Late > 0:
		log.Warn("schedule triggered late", "pipeline", f.Pipeline, "late", f.Late, "missed", f.Missed)
	default:
		log.Info("schedule triggered", "pipeline", f.Pipeline)
	}
}

// trim returns the text of an error for people to read, of a length that fits
// a document.
func trim(err error) string {
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + " ..."
	}
	return text
}
