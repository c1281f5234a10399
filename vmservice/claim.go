package vmservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// On reports whether there are machines: always.
func (p *Pool) On() bool { return true }

// Claim returns the machine of a task, or, not Ready, why the task has to wait;
// it is asked again until then and from time to time after that. The same task
// and epoch get the same machine. A higher epoch takes over: the machine of the
// older one is ended, and the older one gets [ci.ErrConflict], as does one
// whose machine has ended. A need that no machine here will ever meet is
// [ci.ErrInvalid].
func (p *Pool) Claim(ctx context.Context, task ci.TaskID, epoch int64, project ci.ProjectID, trust string, need ci.MachineNeed) (ci.Machine, error) {
	model, err := p.cfg.model(need)
	if err != nil {
		return ci.Machine{}, fmt.Errorf("claim machine for task %s: %w", task, err)
	}
	if task == "" || epoch < 1 || project == "" {
		return ci.Machine{}, fmt.Errorf("claim machine for task %q epoch %d of project %q: %w", task, epoch, project, ci.ErrInvalid)
	}
	wanted := Record{Model: model, Task: task, Epoch: epoch, Project: project, Trust: trust}
	now := p.cfg.Clock()
	p.mu.Lock()
	got, known, err := p.known(wanted, now)
	p.mu.Unlock()
	if err != nil {
		return ci.Machine{}, fmt.Errorf("claim machine for task %s: %w", task, err)
	}
	if !known {
		if err := p.enter(ctx, wanted, need, now); err != nil {
			return ci.Machine{}, fmt.Errorf("claim machine for task %s: %w", task, err)
		}
		p.mu.Lock()
		pairs := p.match(now)
		p.mu.Unlock()
		for _, pair := range pairs {
			if err := p.commit(ctx, pair); err != nil && pair.w.record.Task == task {
				return ci.Machine{}, fmt.Errorf("claim machine for task %s: %w", task, err)
			}
		}
		p.nudge()
		p.mu.Lock()
		got, _, err = p.known(wanted, now)
		p.mu.Unlock()
		if err != nil {
			return ci.Machine{}, fmt.Errorf("claim machine for task %s: %w", task, err)
		}
	}
	return p.deliver(ctx, got, task, now)
}

// known finds what there is for a task: a machine, or nil while it waits. It
// renews the lease of both. The caller holds the lock.
func (p *Pool) known(r Record, now time.Time) (*machine, bool, error) {
	if !p.loaded {
		return nil, true, nil
	}
	if m := p.byTask[r.Task]; m != nil {
		switch have := m.rec; {
		case have.Epoch > r.Epoch:
			return nil, false, fmt.Errorf("epoch %d is older than %d, which has a machine: %w", r.Epoch, have.Epoch, ci.ErrConflict)
		case have.Epoch == r.Epoch && m.kill != "":
			return nil, false, fmt.Errorf("its machine ends: %s: %w", m.kill, ci.ErrConflict)
		case have.Epoch == r.Epoch && have.Model.Kind != r.Model.Kind:
			return nil, false, fmt.Errorf("a task has one machine, and this one has one of kind %s already: %w", have.Model.Kind, ci.ErrInvalid)
		case have.Epoch == r.Epoch:
			m.lease = now.Add(p.cfg.Times.Lease)
			return m, true, nil
		}
		p.doom(m, fmt.Sprintf("the task runs again, under epoch %d", r.Epoch))
	}
	if w := p.waiting[r.Task]; w != nil {
		switch {
		case w.record.Epoch > r.Epoch:
			return nil, false, fmt.Errorf("epoch %d is older than %d, which waits: %w", r.Epoch, w.record.Epoch, ci.ErrConflict)
		case w.record.Epoch == r.Epoch:
			w.lease = now.Add(p.cfg.Times.Lease)
			return nil, true, nil
		}
		if !w.taken {
			delete(p.waiting, r.Task)
			p.unqueue(r.Task)
			return nil, false, nil
		}
		return nil, true, nil // until what is being written is written
	}
	return nil, false, nil
}

// enter puts a task in line, unless a machine that is gone was its own.
func (p *Pool) enter(ctx context.Context, r Record, need ci.MachineNeed, now time.Time) error {
	for d, err := range p.docs.Docs(ctx, ci.DocQuery{Kind: kindPast, Scope: string(r.Task), Newest: true, Limit: 5}) {
		if err != nil {
			return err
		}
		var past Record
		if err := json.Unmarshal(d.Body, &past); err != nil {
			return err
		}
		if err := over(past, r.Epoch); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[r.Task] != nil || p.byTask[r.Task] != nil && p.byTask[r.Task].rec.Epoch >= r.Epoch {
		return nil // another call was faster
	}
	if last := p.leaving[r.Task]; last != nil {
		if err := over(last.rec, r.Epoch); err != nil {
			return err
		}
	}
	w := &waiter{record: r, model: r.Model, since: now, lease: now.Add(p.cfg.Times.Lease)}
	switch {
	case !need.LayerCaching:
	case p.volumes == nil:
		w.why = "this installation keeps no volumes for them"
	default:
		w.layers = true
	}
	p.waiting[r.Task] = w
	l := p.line(r.Model)
	l.waiting = append(l.waiting, w)
	l.arrivals.add(now)
	return nil
}

// over returns an error when the epoch has had its machine, which is no more.
func over(past Record, epoch int64) error {
	if past.Epoch > epoch || past.Epoch == epoch && past.Delivered {
		return fmt.Errorf("the machine of its epoch %d has ended: %s: %w", past.Epoch, past.Why, ci.ErrConflict)
	}
	return nil
}

// deliver tells a task about its machine.
func (p *Pool) deliver(ctx context.Context, m *machine, task ci.TaskID, now time.Time) (ci.Machine, error) {
	if m == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return ci.Machine{Reason: p.reason(task, now)}, nil
	}
	p.mu.Lock()
	r := m.rec
	p.mu.Unlock()
	if !r.Delivered {
		return ci.Machine{ID: r.Key, Reason: "its Docker layers are being attached"}, nil
	}
	s, err := p.access(ctx, m)
	if errors.Is(err, ci.ErrNotFound) {
		p.mu.Lock()
		p.doom(m, "its key was lost")
		p.mu.Unlock()
		return ci.Machine{}, fmt.Errorf("claim machine for task %s: the key to it was lost: %w", task, ci.ErrConflict)
	}
	if err != nil {
		return ci.Machine{}, fmt.Errorf("claim machine for task %s: %w", task, err)
	}
	return ci.Machine{
		Ready: true, ID: r.Key, Address: r.Address, User: p.cfg.Boot.User, Key: s.Key, HostKey: r.HostKey,
		Docker: s.Docker, Notes: slices.Clone(r.Notes),
	}, nil
}

// Release ends the machine of a task, and its waiting. A task without one is no
// error; an epoch older than that which has it is [ci.ErrConflict].
func (p *Pool) Release(ctx context.Context, task ci.TaskID, epoch int64) error {
	p.mu.Lock()
	if w := p.waiting[task]; w != nil && w.record.Epoch <= epoch && !w.taken {
		delete(p.waiting, task)
		p.unqueue(task)
	}
	m := p.byTask[task]
	switch {
	case m == nil:
		p.mu.Unlock()
		return nil
	case m.rec.Epoch > epoch:
		p.mu.Unlock()
		return fmt.Errorf("release machine of task %s: epoch %d is older than %d: %w", task, epoch, m.rec.Epoch, ci.ErrConflict)
	}
	const why = "its task has ended"
	if m.busy {
		p.doom(m, why)
		p.mu.Unlock()
		return nil
	}
	m.busy = true
	p.mu.Unlock()
	if err := p.endNow(ctx, m, why); err != nil {
		p.killLater(m, why)
		p.settle(m, 0)
		return fmt.Errorf("release machine of task %s: %w", task, err)
	}
	p.settle(m, 0)
	return nil
}

// endNow writes that a machine, which is busy, is to end.
func (p *Pool) endNow(ctx context.Context, m *machine, why string) error {
	now := p.cfg.Clock()
	err := p.save(ctx, m, func(r *Record) { r.State, r.Why, r.Ending = Ending, why, now })
	if err != nil {
		return err
	}
	p.mu.Lock()
	m.tries = 0
	p.mu.Unlock()
	return nil
}

// unqueue takes a task out of its line.
func (p *Pool) unqueue(task ci.TaskID) {
	for _, l := range p.lines {
		l.waiting = slices.DeleteFunc(l.waiting, func(w *waiter) bool { return w.record.Task == task })
	}
}

// dropSilent forgets tasks that have not asked for longer than a lease.
func (p *Pool) dropSilent(l *line, now time.Time) {
	l.waiting = slices.DeleteFunc(l.waiting, func(w *waiter) bool {
		silent := now.After(w.lease) && !w.taken
		if silent {
			delete(p.waiting, w.record.Task)
		}
		return silent
	})
}
