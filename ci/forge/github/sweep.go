package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/rondo-ci/rondo/ci"
)

const (
	kept       = 72 * time.Hour   // how long the code host keeps deliveries
	margin     = 15 * time.Minute // a delivery may still be under way, a clock may be wrong
	sweepPause = 5 * time.Minute
	sweepCalls = 1000 // of the API in an hour, at most, when nothing was missed
)

// sweep looks, for every repository, for deliveries that were not accepted
// here, and acts on them in the order in which they were sent: the code host
// does not repeat them by itself.
func (h *Host) sweep(ctx context.Context) (time.Duration, error) {
	var errs []error
	n := 0
	all, err := collect(h.records.Docs(ctx, ci.DocQuery{Kind: kindRepository, AllScopes: true}))
	if err != nil {
		return sweepPause, err
	}
	for _, d := range all {
		l, err := readLink(d)
		if err != nil || l.State != linkThere {
			continue
		}
		n++
		err = h.sweepOne(ctx, d.ID, l)
		var limit *LimitError
		if errors.As(err, &limit) || ctx.Err() != nil {
			return sweepPause, err
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("missed deliveries of %s/%s: %w", l.Owner, l.Name, err))
		}
	}
	return max(sweepPause, time.Duration(n)*time.Hour/sweepCalls), errors.Join(errs...)
}

// sweepOne looks after one repository.
func (h *Host) sweepOne(ctx context.Context, id string, l link) error {
	now := time.Now().UTC()
	from := l.Swept.Add(-margin)
	missed, err := h.missed(ctx, l, from)
	switch {
	case isNotFound(err) || isDenied(err): // somebody removed the webhook, or we may not look
		err = h.restore(ctx, id, err)
	case err != nil:
		return err
	default:
		for _, d := range missed {
			if err := h.recover(ctx, l, d); err != nil {
				return err
			}
		}
	}
	if gap := now.Sub(from) > kept; err == nil && gap {
		err = h.reconcile(ctx, id, l)
	}
	if err != nil {
		return err
	}
	// The link may have changed meanwhile; only how far we looked is ours.
	h.following.Lock()
	defer h.following.Unlock()
	l, doc, err := h.link(ctx, id)
	if err != nil {
		return ignoreMissing(err)
	}
	l.Swept = now
	if err := h.save(ctx, &l, &doc, doc.Due); !isConflict(err) { // else the next look begins earlier
		return err
	}
	return nil
}

// missed returns the deliveries since a time, oldest first, of which no try was
// accepted and that are not known here.
func (h *Host) missed(ctx context.Context, l link, from time.Time) ([]*gh.HookDelivery, error) {
	var open []*gh.HookDelivery
	done := map[string]bool{}
	opts := &gh.ListCursorOptions{PerPage: 100}
	for range 1000 {
		list, resp, err := h.api.Repositories.ListHookDeliveries(ctx, l.Owner, l.Name, l.Hook, opts)
		if err != nil {
			return nil, refusal(err)
		}
		old := false
		for _, d := range list { // newest first
			guid := d.GetGUID()
			if old = d.GetDeliveredAt().Before(from); old {
				break
			}
			if done[guid] || events[d.GetEvent()] == nil {
				continue
			}
			if code := d.GetStatusCode(); code >= 200 && code < 300 {
				done[guid] = true
				continue
			}
			if _, err := h.records.Doc(ctx, kindDelivery, guid); err == nil {
				done[guid] = true // it was accepted, the answer was lost
				continue
			} else if !isNotFound(err) {
				return nil, err
			}
			open = append(open, d)
		}
		if old || resp.Cursor == "" || resp.Cursor == opts.Cursor {
			break
		}
		opts.Cursor = resp.Cursor
	}
	// Of several tries of one delivery the first says when it was due.
	slices.Reverse(open)
	return slices.DeleteFunc(open, func(d *gh.HookDelivery) bool {
		again := done[d.GetGUID()]
		done[d.GetGUID()] = true
		return again
	}), nil
}

// recover acts on a delivery as if it had just come. The content comes over our
// own connection to the code host, so it needs no signature.
func (h *Host) recover(ctx context.Context, l link, d *gh.HookDelivery) error {
	full, _, err := h.api.Repositories.GetHookDelivery(ctx, l.Owner, l.Name, l.Hook, d.GetID())
	if err != nil {
		return refusal(err)
	}
	if full.GetGUID() != d.GetGUID() || full.Request == nil || full.Request.RawPayload == nil {
		return nil // its content is gone; the heads still tell
	}
	answer := h.accept(ctx, delivery{
		guid: d.GetGUID(), event: d.GetEvent(), owner: l.Project, body: *full.Request.RawPayload, sent: d.GetDeliveredAt().Time,
	})
	if answer.status >= http.StatusInternalServerError {
		return fmt.Errorf("delivery %s: %s", d.GetGUID(), answer.Message)
	}
	h.log.Info("missed webhook found", "project", l.Project, "event", d.GetEvent(), "delivery", d.GetGUID(), "answer", answer.status, "pipeline", answer.Pipeline)
	return nil
}

// restore makes a webhook that is gone anew, and finds what was pushed without
// one.
func (h *Host) restore(ctx context.Context, id string, cause error) error {
	h.following.Lock()
	l, doc, err := h.link(ctx, id)
	if err == nil && isNotFound(cause) {
		h.log.Warn("webhook gone, made anew", "project", l.Project)
		l.Stale = true
		if err = h.refresh(ctx, &l, id); err == nil {
			_, err = h.complete(ctx, &l, &doc)
		}
	}
	h.following.Unlock()
	if err != nil {
		return errors.Join(cause, err)
	}
	return h.reconcile(ctx, id, l)
}

// base writes down what the references stand for when a repository is new here,
// so that [Host.reconcile] does not take old branches for news, and which pull
// requests are open.
func (h *Host) base(ctx context.Context, l *link, id string) error {
	refs, err := h.repo(*l, ci.Project{}).Refs(ctx)
	if err != nil {
		return err
	}
	var changes []ci.DocChange
	err = pages(func(page gh.ListOptions) (*gh.Response, error) {
		list, resp, err := h.api.PullRequests.List(ctx, l.Owner, l.Name, &gh.PullRequestListOptions{State: "open", ListOptions: page})
		for _, p := range list {
			branch := p.GetHead().GetRef()
			if p.GetHead().GetRepo().GetID() != p.GetBase().GetRepo().GetID() {
				branch = fmt.Sprintf("pull/%d", p.GetNumber())
			}
			changes = append(changes, keepPull(id, branch, p.GetNumber(), h.pullURL(l.Owner, l.Name, p.GetNumber()), true))
		}
		return resp, err
	})
	if err != nil {
		return err
	}
	for ref, hash := range refs {
		// Of what came since all deliveries were looked at nothing is known yet.
		c := keepHead(id, ref, hash, l.Swept)
		c.Doc.Version = 0 // a push that came meanwhile knows better
		if _, err := h.records.Doc(ctx, kindHead, c.Doc.ID); isNotFound(err) {
			changes = append(changes, c)
		} else if err != nil {
			return err
		}
	}
	for part := range slices.Chunk(changes, 500) {
		if _, err := h.records.WriteDocs(ctx, part...); err != nil {
			return err // tried again, with what is known then
		}
	}
	l.Base = true
	return nil
}

// forgetBase removes what was written down about a repository.
func (h *Host) forgetBase(ctx context.Context, id string) error {
	var changes []ci.DocChange
	for _, kind := range []string{kindHead, kindPull} { // both begin their IDs with that of the repository
		for d, err := range h.records.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true, After: id + " ", Before: id + "!"}) {
			if err != nil {
				return err
			}
			changes = append(changes, ci.DocChange{Doc: ci.Doc{Kind: kind, ID: d.ID, Version: ci.AnyVersion}, Delete: true})
		}
	}
	for part := range slices.Chunk(changes, 500) {
		if _, err := h.records.WriteDocs(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// reconcile compares the references with what they were known to stand for and
// triggers what is new. Of several pushes to one branch only the last is found.
func (h *Host) reconcile(ctx context.Context, id string, l link) error {
	if !l.Base {
		return nil
	}
	p, err := h.records.Project(ctx, l.Project)
	if err != nil || !p.Followed {
		return ignoreMissing(err)
	}
	known := map[string]string{}
	for d, err := range h.records.Docs(ctx, ci.DocQuery{Kind: kindHead, Scope: id}) {
		if err != nil {
			return err
		}
		known[d.Name] = strings.Trim(string(d.Body), `"`)
	}
	r := h.repo(l, p)
	refs, err := r.Refs(ctx)
	if err != nil {
		return err
	}
	for ref, hash := range refs {
		if known[ref] == hash || !isRef(ref) || !isHash(hash) {
			continue
		}
		c, err := r.commit(ctx, hash)
		if err != nil {
			return err
		}
		fake := &payload{Ref: ref, Before: known[ref], HeadCommit: &c, Repository: &repository{DefaultBranch: p.DefaultBranch}}
		out, err := pushed(ctx, h, followed{id: id, link: l, project: p}, fake)
		if err != nil {
			return err
		}
		if _, err := h.records.WriteDocs(ctx, out.changes...); err != nil {
			return err
		}
		h.log.Info("missed push found", "project", p.Slug, "ref", ref, "pipeline", out.pipeline)
	}
	return nil
}
