package schedule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Schedules lists the scheduled pipelines of a project by name.
func (c *Clock) Schedules(ctx context.Context, p ci.ProjectID) ([]ci.ScheduledPipeline, error) {
	var out []ci.ScheduledPipeline
	for d, err := range c.docs.Docs(ctx, ci.DocQuery{Kind: kindPipeline, Scope: string(p)}) {
		if err != nil {
			return nil, fmt.Errorf("list schedules: %w", err)
		}
		e, err := open(d)
		if err != nil {
			return nil, err
		}
		out = append(out, e.ScheduledPipeline)
	}
	return out, nil
}

// Schedule returns one. One that does not exist is [ci.ErrNotFound].
func (c *Clock) Schedule(ctx context.Context, id string) (ci.ScheduledPipeline, error) {
	e, _, err := c.entry(ctx, id)
	return e.ScheduledPipeline, err
}

// Last returns what happened when the scheduled pipeline came up last, and
// false when it never has.
func (c *Clock) Last(ctx context.Context, id string) (Firing, bool, error) {
	e, _, err := c.entry(ctx, id)
	if err != nil || e.Last == nil {
		return Firing{}, false, err
	}
	return *e.Last, true, nil
}

func (c *Clock) entry(ctx context.Context, id string) (entry, ci.Doc, error) {
	d, err := c.docs.Doc(ctx, kindPipeline, id)
	if err != nil {
		return entry{}, d, err // it names kind and ID
	}
	e, err := open(d)
	return e, d, err
}

// PutSchedule writes a scheduled pipeline, under a new ID if it has none, and
// returns it as kept. What is wrong with it is [ci.ErrInvalid], one joined
// error for each problem; a name that another one of the project has is
// [ci.ErrConflict]. It may trigger in the name of by, of nobody (the system),
// or of whom it did before: another name is [ci.ErrDenied]. Whoever changes what
// it triggers, or when, answers for it: then it no longer triggers in the name
// of whom it did before but in that of by. One schedule too many is
// [ci.ErrConflict].
func (c *Clock) PutSchedule(ctx context.Context, s ci.ScheduledPipeline, by ci.Actor) (ci.ScheduledPipeline, error) {
	h, err := check(&s)
	if err != nil {
		return ci.ScheduledPipeline{}, err
	}
	for range 10 { // the clock writes the document too
		var kept ci.ScheduledPipeline
		kept, err = c.put(ctx, s, h, by)
		if !errors.Is(err, ci.ErrConflict) || c.taken(ctx, s) {
			return kept, err
		}
	}
	return ci.ScheduledPipeline{}, err
}

// taken reports whether another schedule has the name.
func (c *Clock) taken(ctx context.Context, s ci.ScheduledPipeline) bool {
	d, err := c.docs.DocNamed(ctx, kindPipeline, string(s.Project), s.Name)
	return err == nil && d.ID != s.ID
}

func (c *Clock) put(ctx context.Context, s ci.ScheduledPipeline, h hands, by ci.Actor) (ci.ScheduledPipeline, error) {
	var old entry
	d := ci.Doc{Kind: kindPipeline, ID: s.ID}
	if s.ID == "" {
		if _, err := c.read.Project(ctx, s.Project); err != nil {
			return ci.ScheduledPipeline{}, fmt.Errorf("schedule %q: %w", s.Name, err)
		}
		d.ID = ci.NewID()
	} else {
		var err error
		if old, d, err = c.entry(ctx, s.ID); err != nil {
			return ci.ScheduledPipeline{}, err
		}
		if s.Project != old.Project {
			return ci.ScheduledPipeline{}, fmt.Errorf("schedule %s: it belongs to another project and stays there: %w", s.ID, ci.ErrInvalid)
		}
	}
	if s.Actor != (ci.Actor{}) && s.Actor != by && s.Actor != old.Actor {
		return ci.ScheduledPipeline{}, fmt.Errorf("schedule %q: it can trigger as you or as the system, not as %s: %w", s.Name, s.Actor, ci.ErrDenied)
	}
	if s.ID == "" {
		if err := c.room(ctx, s.Project); err != nil {
			return ci.ScheduledPipeline{}, fmt.Errorf("schedule %q: %w", s.Name, err)
		}
	}
	changed := !sameParameters(s.Parameters, old.Parameters) || !reflect.DeepEqual(h, old.hands)
	if s.Actor != (ci.Actor{}) && changed {
		s.Actor = by // nobody lends the rights of others
	}
	now := c.now()
	if d.Due.IsZero() || !reflect.DeepEqual(h, old.hands) { // else what is overdue stays so
		if d.Due = h.next(now); d.Due.IsZero() {
			return ci.ScheduledPipeline{}, fmt.Errorf("schedule %q: timetable: there is no such day in the months named: %w", s.Name, ci.ErrInvalid)
		}
	}
	e := entry{ScheduledPipeline: s, Last: old.Last}
	e.Updated = now
	var err error
	if d.Body, err = e.body(); err != nil {
		return ci.ScheduledPipeline{}, fmt.Errorf("schedule %q: %v: %w", s.Name, err, ci.ErrInvalid)
	}
	d.Scope, d.Name = string(s.Project), s.Name
	kept, err := c.docs.WriteDocs(ctx, ci.DocChange{Doc: d})
	if errors.Is(err, ci.ErrConflict) {
		return ci.ScheduledPipeline{}, fmt.Errorf("schedule %q: the project has one of that name, or it has just been changed: %w", s.Name, ci.ErrConflict)
	}
	if err != nil {
		return ci.ScheduledPipeline{}, err
	}
	c.woken()
	e, err = open(kept[0])
	return e.ScheduledPipeline, err
}

// sameParameters reports whether a pipeline would not see a difference.
func sameParameters(a, b map[string]any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// MaxSchedules is how many scheduled pipelines a project may have, and how many
// workflows that its configurations start by the clock.
const MaxSchedules = 100

// room reports whether the project may have one more scheduled pipeline.
func (c *Clock) room(ctx context.Context, p ci.ProjectID) error {
	n, err := ci.CountDocs(c.docs.Docs(ctx, ci.DocQuery{Kind: kindPipeline, Scope: string(p), Limit: MaxSchedules}))
	if err == nil && n >= MaxSchedules {
		err = fmt.Errorf("the project has %d schedules and cannot have more; delete one that nobody needs: %w", n, ci.ErrConflict)
	}
	return err
}

// DeleteSchedule removes one. One that does not exist is [ci.ErrNotFound].
func (c *Clock) DeleteSchedule(ctx context.Context, id string, by ci.Actor) error {
	d, err := c.docs.Doc(ctx, kindPipeline, id)
	if err != nil {
		return err
	}
	d.Version = ci.AnyVersion // the clock writes it too
	_, err = c.docs.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true})
	return err
}

// The bounds of what people write, in bytes.
const (
	maxName        = 255
	maxDescription = 4096
)

// check returns what is wrong with a schedule, and its times.
func check(s *ci.ScheduledPipeline) (hands, error) {
	var problems []error
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("schedule: "+format+": %w", append(args, ci.ErrInvalid)...))
	}
	if s.Name = strings.TrimSpace(s.Name); s.Name == "" || len(s.Name) > maxName || strings.ContainsFunc(s.Name, func(r rune) bool { return r < ' ' }) {
		problem("name is %.20q, but takes 1 to %d characters of one line", s.Name, maxName)
	}
	if len(s.Description) > maxDescription {
		problem("description is longer than %d characters", maxDescription)
	}
	h, err := parse(s.Timetable)
	if err != nil {
		problems = append(problems, err)
	}
	branch, tag, rest := split(s.Parameters)
	if (branch == "") == (tag == "") {
		problem("parameters must have branch or tag, a text, and not both")
	}
	for name, v := range rest {
		switch v.(type) {
		case string, bool, int, int64, float64:
		default:
			problem("parameter %.40q is neither text nor number nor true or false", name)
		}
	}
	return h, errors.Join(problems...)
}

// split takes branch and tag out of the parameters.
func split(p map[string]any) (branch, tag string, rest map[string]any) {
	branch, _ = p["branch"].(string)
	tag, _ = p["tag"].(string)
	rest = maps.Clone(p)
	delete(rest, "branch")
	delete(rest, "tag")
	if len(rest) == 0 {
		rest = nil
	}
	return branch, tag, rest
}
