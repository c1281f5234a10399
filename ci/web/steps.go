package web

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A stepView is a step as a page shows it.
type stepView struct {
	ci.Step
	Open bool
	// Out is the end of its output; nil when the page had no room for it.
	Out *excerpt
	// Live says that more output comes.
	Live bool
	// Orphan says that its task ended long ago and nobody told how it did.
	Orphan bool
	// Raw is the address of the whole output as text, Output that of ranges
	// of it as HTML, View that of the page with its lines.
	Raw, Output, View string
}

// Clock returns how long the step took or has taken so far.
func (v stepView) Clock() clock { return clockOf(v.Started, v.Stopped) }

// Earlier returns the address of the output before the excerpt as text.
func (v stepView) Earlier() string {
	from := max(v.Out.From-excerptBytes, 0)
	return v.Raw + "&offset=" + itoa(from) + "&limit=" + itoa(v.Out.From-from)
}

// steps returns the steps of the chosen task with their output, the most
// wanted first until the page is full: what went wrong, what runs, and then
// the newest.
func (s *site) steps(ctx context.Context, at jobPlace) ([]stepView, error) {
	if at.epoch == 0 {
		return nil, nil
	}
	steps, err := s.read.Steps(ctx, at.task(), at.epoch)
	if err != nil {
		return nil, err
	}
	views := make([]stepView, len(steps))
	for i, step := range steps {
		views[i] = at.stepView(step)
	}
	budget := int64(pageBytes)
	for _, wanted := range []func(stepView) bool{
		func(v stepView) bool { return v.Open },
		func(v stepView) bool { return !v.Open },
	} {
		for i := len(views) - 1; i >= 0; i-- {
			v := &views[i]
			if !wanted(*v) || budget <= 0 {
				continue
			}
			x, err := s.excerpt(ctx, at.logKey(v.Index), -1, min(excerptBytes, budget))
			if err != nil {
				return nil, err
			}
			v.Out = &x
			v.Live = v.goesOn(at, x.Size)
			budget -= x.Size - x.From
		}
	}
	return views, nil
}

func (p jobPlace) logKey(step int) ci.LogKey {
	return ci.LogKey{Task: p.task(), Epoch: p.epoch, Step: step}
}

// stepView returns the view of a step without its output.
func (p jobPlace) stepView(step ci.Step) stepView {
	f := url.Values{
		"task": {string(p.task())}, "epoch": {itoa(p.epoch)}, "step": {strconv.Itoa(step.Index)},
	}.Encode()
	path := JobPath(p.project, p.job.Number)
	v := stepView{Step: step, Raw: path + "/log?" + f, Output: path + "/output?" + f, View: path + "/view?" + f}
	v.Open = !step.Status.Ended() || step.Status.Bad()
	v.Live = !step.Status.Ended()
	v.Orphan = v.Live && p.state().Status.Ended() && time.Since(p.state().Stopped) > settled
	return v
}

// settled is how long after its end a task's output may still arrive.
const settled = time.Minute

// goesOn reports whether more output of the step will come: it runs, or what
// is stored is less than it printed.
func (v stepView) goesOn(at jobPlace, size int64) bool {
	if at.epoch != at.state().Epoch {
		return false
	}
	if !v.Status.Ended() {
		return !at.state().Status.Ended() || time.Since(at.state().Stopped) < settled
	}
	return size < v.Bytes && time.Since(v.Stopped) < settled
}

// liveSteps returns how many steps have output that is not complete.
func (b *jobBody) liveSteps() int {
	n := 0
	for _, v := range b.Steps {
		if v.Live {
			n++
		}
	}
	return n
}

// cursor returns where the page ends.
func (b *jobBody) cursor(seq uint64) cursor {
	c := cursor{seq: seq, epoch: b.Epoch}
	for _, v := range b.Steps {
		c.steps = max(c.steps, v.Index+1)
		if v.Live && v.Out != nil && len(c.live) < maxLive {
			c.live = append(c.live, mark{step: v.Index, offset: v.Out.Next, pen: v.Out.Pen})
		}
	}
	return c
}
