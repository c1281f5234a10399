package operator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Batch is the most tasks that are promoted or canceled at once without force:
// the guide's "safe to do this by the 100's, but do not put the entire queue
// in".
const Batch = 100

// small is how many tasks may be the entire queue.
const small = 10

// Promote moves tasks past the limit of their organisation, in the order of the
// queue. It takes an operator and is on record.
func (d *Desk) Promote(ctx context.Context, org string, n int, force bool, by ci.Actor) (ci.QueueMove, error) {
	if err := d.cfg.Operator(ctx, by); err != nil {
		return ci.QueueMove{}, fmt.Errorf("promote: %w", err)
	}
	if n < 1 {
		return ci.QueueMove{}, fmt.Errorf("promote: say how many tasks, from 1 to %d: %w", Batch, ci.ErrInvalid)
	}
	_, _, total := d.cfg.Line(true, 0)
	tickets, _, _ := d.cfg.Line(true, total)
	all := 0
	count := make(map[string]int)
	for _, t := range tickets {
		if org == "" || t.Task.Org == org {
			if all++; all <= n {
				count[t.Task.Org]++
			}
		}
	}
	switch {
	case force:
	case n > Batch:
		return ci.QueueMove{Left: all}, fmt.Errorf("promote %d tasks: at most %d at once is safe; ask for fewer, or force it: %w", n, Batch, ci.ErrConflict)
	case n >= all && all > small:
		return ci.QueueMove{Left: all}, fmt.Errorf("promote %d tasks: that is the entire usage queue, %d tasks; ask for fewer, or force it: %w", n, all, ci.ErrConflict)
	}
	var move ci.QueueMove
	act := ci.Act{Action: "rondo.queue.promote", Actor: by, Target: map[string]string{"type": "queue", "name": usage, "count": strconv.Itoa(min(n, all))}}
	if org != "" {
		act.Target["of"] = org
	}
	err := d.cfg.Record(ctx, act, func() error {
		for of, n := range count {
			move.Moved += d.queue.Promote(of, n)
		}
		return nil
	})
	move.Left = max(all-move.Moved, 0)
	return move, err
}

// CancelWaiting cancels a batch of the run queue, the next to start first. The
// code host is told of each job as of any other cancel. It takes an operator
// and is on record.
func (d *Desk) CancelWaiting(ctx context.Context, n int, older time.Duration, by ci.Actor) (ci.QueueMove, error) {
	if err := d.cfg.Operator(ctx, by); err != nil {
		return ci.QueueMove{}, fmt.Errorf("cancel tasks that wait: %w", err)
	}
	if n < 1 || n > Batch {
		return ci.QueueMove{}, fmt.Errorf("cancel tasks that wait: say how many, from 1 to %d at once: %w", Batch, ci.ErrInvalid)
	}
	_, _, total := d.cfg.Line(false, 0)
	tickets, _, _ := d.cfg.Line(false, total)
	before := time.Now().Add(-older)
	var chosen []ci.Task
	jobs := make(map[ci.JobID]bool)
	left := 0
	for _, t := range tickets {
		switch {
		case older > 0 && t.Task.Queued.After(before):
		case jobs[t.Task.Job]: // goes with its job
		case len(chosen) < n:
			jobs[t.Task.Job] = true
			chosen = append(chosen, t.Task)
		default:
			left++
		}
	}
	move := ci.QueueMove{Left: left}
	act := ci.Act{Action: "rondo.queue.cancel", Actor: by, Target: map[string]string{"type": "queue", "name": run, "count": strconv.Itoa(len(chosen))}}
	err := d.cfg.Record(ctx, act, func() error {
		for _, t := range chosen {
			err := d.cfg.CancelJob(ctx, t.Workflow, t.Job, by)
			switch {
			case err == nil:
				move.Moved++
			case !errors.Is(err, ci.ErrConflict) && !errors.Is(err, ci.ErrNotFound): // else it has ended meanwhile
				return fmt.Errorf("cancel job %s: %w", t.Job, err)
			}
		}
		return nil
	})
	return move, err
}

// hidden reports whether an error leaves a thing out of a list.
func hidden(err error) bool { return errors.Is(err, ci.ErrNotFound) || errors.Is(err, ci.ErrDenied) }
