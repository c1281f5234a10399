package github

import (
	"context"
	"errors"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-ci/rondo/ci"
)

// Run sends the commit statuses, completes what was begun on the code host,
// follows renames, forgets old deliveries, and finds the pushes whose webhooks
// did not arrive. It returns when ctx ends, with its error. One process of an
// installation should run it; a second one does no harm.
func (h *Host) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if h.cfg.Events != nil {
		g.Go(func() error { return h.persist(ctx, "follow events", h.listen) })
		g.Go(func() error { return h.every(ctx, h.wake, "send statuses", h.send) })
	}
	g.Go(func() error { return h.every(ctx, h.stale, "look after repositories", h.tend) })
	g.Go(func() error { return h.every(ctx, nil, "look for missed deliveries", h.sweep) })
	return g.Wait()
}

// persist runs work until ctx ends, and again after a fault.
func (h *Host) persist(ctx context.Context, what string, work func(context.Context) error) error {
	for {
		err := work(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.log.Error("code host: "+what, "error", err)
		if err := wait(ctx, nil, 10*time.Second); err != nil {
			return err
		}
	}
}

// every runs work, which says when to come back, until ctx ends. An element of
// wake brings it back at once, unless the code host asked for patience.
func (h *Host) every(ctx context.Context, wake <-chan struct{}, what string, work func(context.Context) (time.Duration, error)) error {
	for {
		pause, err := work(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		early := wake
		var limit *LimitError
		switch {
		case errors.As(err, &limit):
			early, pause = nil, max(time.Until(limit.Until), time.Second)
			h.log.Warn("code host: "+what, "error", err)
		case err != nil:
			h.log.Error("code host: "+what, "error", err)
			early = nil
		}
		if err := wait(ctx, early, pause); err != nil {
			return err
		}
	}
}

// wait waits for so long, an element of wake, or the end of ctx.
func wait(ctx context.Context, wake <-chan struct{}, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wake:
	case <-timer.C:
	}
	return nil
}

// tend completes half-done follows and unfollows, writes down the references of
// new repositories, follows renames, and forgets old deliveries.
func (h *Host) tend(ctx context.Context) (time.Duration, error) {
	const pause = 30 * time.Second
	var errs []error
	due, err := collect(h.records.DueDocs(ctx, kindRepository, time.Now(), batch))
	if err != nil {
		return pause, err
	}
	for _, d := range due {
		err := h.tendOne(ctx, d.ID)
		if isConflict(err) { // there is news of it
			poke(h.stale)
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	var old []ci.DocChange
	for d, err := range h.records.DueDocs(ctx, kindDelivery, time.Now(), 500) {
		if err != nil {
			return pause, err
		}
		old = append(old, ci.DocChange{Doc: ci.Doc{Kind: d.Kind, ID: d.ID, Version: ci.AnyVersion}, Delete: true})
	}
	if len(old) > 0 {
		if _, err := h.records.WriteDocs(ctx, old...); err != nil {
			return pause, err
		}
	}
	if len(due) == batch || len(old) == 500 {
		poke(h.stale) // there is more
	}
	return pause, errors.Join(errs...)
}

// collect reads a sequence to its end, so that the database is not kept waiting
// while the code host is asked.
func collect(seq iter.Seq2[ci.Doc, error]) ([]ci.Doc, error) {
	var all []ci.Doc
	for d, err := range seq {
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// tendOne does what is due for one repository.
func (h *Host) tendOne(ctx context.Context, id string) error {
	h.following.Lock()
	defer h.following.Unlock()
	l, doc, err := h.link(ctx, id)
	if err != nil {
		return ignoreMissing(err)
	}
	switch l.State {
	case linkComing:
		_, err = h.complete(ctx, &l, &doc)
	case linkLeaving:
		err = h.leave(ctx, &l, &doc)
	default:
		if l.Stale {
			err = h.refresh(ctx, &l, id)
		}
		if err == nil && !l.Base {
			err = h.base(ctx, &l, id)
		}
		if err == nil {
			l.Tries = 0
			return h.save(ctx, &l, &doc, time.Time{})
		}
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	var limit *LimitError
	wait := min(resume<<min(l.Tries, 9), 6*time.Hour)
	if errors.As(err, &limit) {
		wait = time.Until(limit.Until)
	}
	l.Tries++
	return errors.Join(err, h.save(ctx, &l, &doc, time.Now().Add(wait)))
}
