package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A cursor is how far the events have been read.
type cursor struct {
	Seq uint64 `json:"seq"`
}

// stride is how many events without a message may be read twice after a crash.
const stride = 500

// follow makes messages of events until ctx ends.
func (c *Courier) follow(ctx context.Context) {
	wait := time.Second
	for ctx.Err() == nil {
		err := c.advance(ctx, func() { wait = time.Second })
		if err != nil && !errors.Is(err, ci.ErrConflict) && ctx.Err() == nil { // a conflict: another courier is faster
			c.log.Error("follow events for webhooks, will try again", "wait", wait, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Minute)
	}
}

// advance reads the events from the cursor on until something fails. Messages
// and cursor are written at once, so each event gets its messages once.
func (c *Courier) advance(ctx context.Context, fine func()) error {
	var at cursor
	d, err := c.docs.Doc(ctx, kindCursor, "events")
	switch {
	case errors.Is(err, ci.ErrNotFound): // what was before the first courier is history
		d = ci.Doc{Kind: kindCursor, ID: "events"}
		if at.Seq, err = c.read.LastEvent(ctx); err == nil {
			d, err = c.move(ctx, d, at, nil)
		}
	case err == nil:
		err = json.Unmarshal(d.Body, &at)
	}
	if err != nil {
		return fmt.Errorf("cursor: %w", err)
	}
	kept := at.Seq
	for e, err := range c.cfg.Follow(ctx, at.Seq) {
		if err != nil {
			return err
		}
		at.Seq = e.Seq
		messages, err := c.messages(ctx, e)
		if err != nil {
			return fmt.Errorf("event %d: %w", e.Seq, err)
		}
		if len(messages) == 0 && at.Seq-kept < stride {
			continue
		}
		if d, err = c.move(ctx, d, at, messages); err != nil {
			return err
		}
		kept = at.Seq
		fine()
		if len(messages) > 0 {
			c.woken()
		}
	}
	return nil
}

// move writes the cursor and the messages.
func (c *Courier) move(ctx context.Context, d ci.Doc, at cursor, messages []ci.DocChange) (ci.Doc, error) {
	var err error
	if d.Body, err = json.Marshal(at); err != nil {
		return d, err
	}
	now, err := c.docs.WriteDocs(ctx, append(messages, ci.DocChange{Doc: d})...)
	if err != nil {
		return d, err
	}
	return now[len(now)-1], nil
}

// messages returns those that an event calls for.
func (c *Courier) messages(ctx context.Context, e ci.Event) ([]ci.DocChange, error) {
	kind := ""
	switch e.Kind {
	case ci.WorkflowEnded:
		kind = WorkflowCompleted
	case ci.JobEnded:
		kind = JobCompleted
	default:
		return nil, nil
	}
	if e.Status == ci.NotRun { // it never began
		return nil, nil
	}
	hooks, err := c.asking(ctx, e, kind)
	if err != nil || len(hooks) == 0 {
		return nil, err
	}
	t, err := c.tale(ctx, e, kind)
	if errors.Is(err, ci.ErrNotFound) || err == nil && kind == JobCompleted && t.job == nil {
		return nil, nil // deleted meanwhile; or an approval, which is no work that ended
	}
	if err != nil {
		return nil, err
	}
	var out []ci.DocChange
	for _, h := range hooks {
		d, err := c.compose(h, t, time.Now().UTC())
		if err != nil {
			return nil, err
		}
		out = append(out, ci.DocChange{Doc: d})
	}
	return out, nil
}

// asking returns the webhooks that want the event. One that was made after it
// does not get it.
func (c *Courier) asking(ctx context.Context, e ci.Event, kind string) ([]hook, error) {
	var out []hook
	for d, err := range c.docs.Docs(ctx, ci.DocQuery{Kind: kindHook, Scope: string(e.Project)}) {
		if err != nil {
			return nil, err
		}
		h, err := openHook(d)
		if err != nil {
			c.log.Error("webhook left out", "webhook", d.ID, "err", err)
			continue
		}
		if slices.Contains(h.Events, kind) && !e.Time.Before(h.Created) {
			out = append(out, h)
		}
	}
	return out, nil
}

// tale reads what an event is about.
func (c *Courier) tale(ctx context.Context, e ci.Event, kind string) (tale, error) {
	t := tale{kind: kind, at: e.Time, status: e.Status}
	var err error
	if t.project, err = c.read.Project(ctx, e.Project); err != nil {
		return t, err
	}
	if t.pipeline, err = c.read.Pipeline(ctx, e.Pipeline); err != nil {
		return t, err
	}
	w, err := c.read.Workflow(ctx, e.Workflow)
	if err != nil {
		return t, err
	}
	t.workflow = &w
	if kind == JobCompleted {
		if j := w.Attempt(e.Job); j != nil && j.Type == ci.JobBuild {
			t.job = j
		}
	}
	return t, nil
}
