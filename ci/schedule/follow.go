package schedule

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Workflow is a workflow that the configuration of a branch starts by the
// clock.
type Workflow struct {
	ID       string
	Branch   string
	Workflow string
	Cron     string        // five fields, UTC
	Pipeline ci.PipelineID // whose configuration says so
	Next     time.Time     // zero is never
	Last     *Firing       // nil is never yet
}

// Workflows lists the workflows that configurations of the project start by
// the clock, by branch and name.
func (c *Clock) Workflows(ctx context.Context, p ci.ProjectID) ([]Workflow, error) {
	var out []Workflow
	for d, err := range c.docs.Docs(ctx, ci.DocQuery{Kind: kindWorkflow, Scope: string(p)}) {
		if err != nil {
			return nil, fmt.Errorf("list scheduled workflows: %w", err)
		}
		e, err := open(d)
		if err != nil {
			return nil, err
		}
		out = append(out, Workflow{ID: e.ID, Branch: e.Branch, Workflow: e.Workflow, Cron: e.Timetable.Cron, Pipeline: e.From, Next: e.Next, Last: e.Last})
	}
	return out, nil
}

// BranchGone removes the schedules that the configuration of a branch asked
// for, because the branch was deleted. It is no error when there are none. A
// branch of which nobody tells is noticed when its next time comes.
func (c *Clock) BranchGone(ctx context.Context, p ci.ProjectID, branch string) error {
	changes, err := c.become(ctx, p, branch, nil)
	if err != nil || len(changes) == 0 {
		return err
	}
	if _, err = c.docs.WriteDocs(ctx, changes...); err != nil {
		return fmt.Errorf("remove schedules of branch %s: %w", branch, err)
	}
	return nil
}

// A cursor is how far the events have been read. Since is when that began:
// what was due before is not made up for.
type cursor struct {
	Seq   uint64    `json:"seq"`
	Since time.Time `json:"since"`
}

// longestWait bounds the wait after a fault, and stride is how many events
// without a schedule may be read twice after a crash.
const (
	longestWait = time.Minute
	stride      = 500
)

// follow keeps the schedules of configurations as the newest plans want them,
// until ctx ends.
func (c *Clock) follow(ctx context.Context) {
	wait := time.Second
	for ctx.Err() == nil {
		err := c.advance(ctx, func() { wait = time.Second })
		switch {
		case ctx.Err() != nil || err == nil:
		case errors.Is(err, ci.ErrConflict): // another clock is faster; go on behind it
		default:
			c.log.Error("follow plans for schedules, will try again", "wait", wait, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, longestWait)
	}
}

// advance reads the events from the cursor on until something fails. Effects and
// cursor are written at once, so of several clocks one has its way.
func (c *Clock) advance(ctx context.Context, fine func()) error {
	d, err := c.docs.Doc(ctx, kindCursor, "events")
	at := cursor{Since: c.now()}
	if errors.Is(err, ci.ErrNotFound) {
		d = ci.Doc{Kind: kindCursor, ID: "events"}
	} else if err != nil {
		return err
	} else if err := json.Unmarshal(d.Body, &at); err != nil {
		return fmt.Errorf("cursor: %w", err)
	}
	kept := at.Seq
	for event, err := range c.cfg.Follow(ctx, at.Seq) {
		if err != nil {
			return err
		}
		at.Seq = event.Seq
		changes, err := c.planned(ctx, event, at.Since)
		if err != nil {
			return fmt.Errorf("event %d: %w", event.Seq, err)
		}
		if len(changes) == 0 && at.Seq-kept < stride && d.Version > 0 {
			continue
		}
		if d.Body, err = json.Marshal(at); err != nil {
			return err
		}
		now, err := c.docs.WriteDocs(ctx, append(changes, ci.DocChange{Doc: d})...)
		if err != nil {
			return err
		}
		d, kept = now[len(now)-1], at.Seq
		fine()
		if len(changes) > 0 {
			c.woken()
		}
	}
	return nil
}

// planned returns what an event changes in the schedules.
func (c *Clock) planned(ctx context.Context, event ci.Event, since time.Time) ([]ci.DocChange, error) {
	if event.Kind != ci.PipelinePlanned {
		return nil, nil
	}
	p, err := c.read.Pipeline(ctx, event.Pipeline)
	if err == nil && !speaks(p) {
		return nil, nil
	}
	if err == nil {
		p, err = c.newest(ctx, p)
	}
	var plan *ci.Plan
	if err == nil {
		plan, err = c.read.Plan(ctx, p.ID)
	}
	if errors.Is(err, ci.ErrNotFound) {
		return nil, nil // deleted meanwhile
	}
	if err != nil {
		return nil, err
	}
	from := event.Time
	if from.Before(since) {
		from = since
	}
	if now := c.now(); from.After(now) {
		from = now
	}
	wanted, err := c.wanted(p, plan, from)
	if err != nil {
		return nil, err
	}
	return c.become(ctx, p.Trigger.Project, p.Trigger.Branch, wanted)
}

// speaks reports whether the configuration of a pipeline is that of a branch of
// ours: a fork does not say when it runs.
func speaks(p ci.Pipeline) bool { return p.Trigger.Branch != "" && p.Trigger.Fork == "" }

// newest returns the newest pipeline of the branch that has a plan; p itself
// if there is none newer.
func (c *Clock) newest(ctx context.Context, p ci.Pipeline) (ci.Pipeline, error) {
	q := ci.Query{Project: p.Trigger.Project, Branch: p.Trigger.Branch, Limit: 20}
	for {
		n := 0
		for other, err := range c.read.Pipelines(ctx, q) {
			switch {
			case err != nil:
				return p, err
			case other.Number <= p.Number:
				return p, nil
			case speaks(other) && (other.State == ci.PipelineReady || other.State == ci.PipelineSetup):
				return other, nil
			}
			q.Before = other.ID
			n++
		}
		if n < q.Limit {
			return p, nil
		}
	}
}

// maxWorkflow is the size in bytes of the longest name of a workflow that the
// clock starts: it is kept with the schedule.
const maxWorkflow = 4096

// wanted returns the documents of the schedules that the plan asks for on the
// pipeline's branch. A configuration that is continued, or continues, has none.
func (c *Clock) wanted(p ci.Pipeline, plan *ci.Plan, from time.Time) ([]ci.Doc, error) {
	if plan.Setup || plan.Before != nil {
		return nil, nil
	}
	t := p.Trigger
	var out []ci.Doc
	for _, s := range plan.Schedules {
		admitted, err := c.cfg.Admits(s, t.Branch)
		if err != nil || !admitted {
			if err != nil {
				c.log.Warn("schedule left out", "project", t.Project, "branch", t.Branch, "workflow", s.Workflow, "err", err)
			}
			continue
		}
		if len(s.Workflow) > maxWorkflow {
			c.log.Warn("schedule left out, the name of its workflow is too long", "project", t.Project, "branch", t.Branch, "bytes", len(s.Workflow))
			continue
		}
		e := entry{
			ScheduledPipeline: ci.ScheduledPipeline{Project: t.Project, Timetable: ci.Timetable{Cron: s.Cron}},
			Branch:            t.Branch, Workflow: s.Workflow, From: p.ID,
		}
		if e.hands, err = parse(e.Timetable); err != nil {
			c.log.Warn("schedule left out", "project", t.Project, "branch", t.Branch, "workflow", s.Workflow, "err", err)
			continue
		}
		body, err := e.body()
		if err != nil {
			return nil, err
		}
		name := t.Branch + "\n" + s.Workflow + "\n" + s.Cron
		out = append(out, ci.Doc{
			Kind: kindWorkflow, ID: identity(string(t.Project) + "\n" + name), Scope: string(t.Project), Name: name,
			Body: body, Due: e.hands.next(from),
		})
	}
	return out, nil
}

// become returns the changes that make the schedules of a branch those wanted.
// One that is there already goes on undisturbed.
func (c *Clock) become(ctx context.Context, p ci.ProjectID, branch string, wanted []ci.Doc) ([]ci.DocChange, error) {
	have := map[string]bool{}
	var changes []ci.DocChange
	// A branch has no control characters in its name: all between are its own.
	q := ci.DocQuery{Kind: kindWorkflow, Scope: string(p), After: branch + "\n", Before: branch + "\v"}
	for d, err := range c.docs.Docs(ctx, q) {
		if err != nil {
			return nil, err
		}
		have[d.ID] = true
		if !slices.ContainsFunc(wanted, func(w ci.Doc) bool { return w.ID == d.ID }) {
			d.Version = ci.AnyVersion // the clock may just be writing it
			changes = append(changes, ci.DocChange{Doc: d, Delete: true})
		}
	}
	var fresh []ci.Doc
	for _, w := range wanted {
		if !have[w.ID] {
			fresh = append(fresh, w)
		}
		have[w.ID] = true
	}
	fresh, err := c.fit(ctx, p, fresh, len(changes))
	for _, w := range fresh {
		changes = append(changes, ci.DocChange{Doc: w})
	}
	return changes, err
}

// fit leaves out what would be more than [MaxSchedules] of a project, of which
// some are about to go: else whoever may push could have the clock start
// thousands of pipelines a minute.
func (c *Clock) fit(ctx context.Context, p ci.ProjectID, fresh []ci.Doc, going int) ([]ci.Doc, error) {
	if len(fresh) == 0 {
		return nil, nil
	}
	room := MaxSchedules + going
	have, err := ci.CountDocs(c.docs.Docs(ctx, ci.DocQuery{Kind: kindWorkflow, Scope: string(p), Limit: room}))
	if err != nil {
		return nil, err
	}
	if room -= have; room < len(fresh) {
		c.log.Warn("schedules left out, the project has too many", "project", p, "most", MaxSchedules, "left_out", len(fresh)-room)
		fresh = fresh[:room]
	}
	return fresh, nil
}

// identity returns a UUID that is always the same for the text.
func identity(text string) string {
	s := sha256.Sum256([]byte(text))
	s[6], s[8] = s[6]&0x0f|0x80, s[8]&0x3f|0x80 // version 8: our own making
	return fmt.Sprintf("%x-%x-%x-%x-%x", s[0:4], s[4:6], s[6:8], s[8:10], s[10:16])
}

// byName is the Admits of a clock that knows no regular expressions.
func byName(s ci.Schedule, branch string) (bool, error) {
	if len(s.Only) > 0 {
		return slices.Contains(s.Only, branch), nil
	}
	return !slices.Contains(s.Ignore, branch), nil
}
