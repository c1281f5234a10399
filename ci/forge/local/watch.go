package local

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Refs returns the commit of every branch and tag, by full name
// ("refs/heads/main"). Tags of things that are not commits are left out.
func (r *Repo) Refs(ctx context.Context) (map[string]string, error) {
	out, err := git(ctx, r.dir, nil, nil, "for-each-ref",
		"--format=%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)", "refs/heads", "refs/tags")
	if err != nil {
		return nil, fmt.Errorf("references of %s: %w", r.dir, err)
	}
	refs := make(map[string]string)
	for row := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(row, "\n"), "\x00")
		switch {
		case len(f) != 5:
		case f[1] == "commit":
			refs[f[0]] = f[2]
		case f[3] == "commit":
			refs[f[0]] = f[4]
		case f[3] == "tag": // a tag of a tag
			if hash, err := r.resolve(ctx, f[0]); err == nil {
				refs[f[0]] = hash
			}
		}
	}
	return refs, nil
}

// Trigger returns a ready trigger for a branch or tag, by its full name, or for
// what is checked out, "HEAD". Its key is that of [Repo.Watch]. An unknown one
// is [ci.ErrNotFound]. With a detached HEAD, or in a folder that stands on a
// commit of no branch, the branch is called HEAD.
func (r *Repo) Trigger(ctx context.Context, ref string) (ci.Trigger, error) {
	if ref == "HEAD" {
		branch, _, err := r.Head(ctx)
		if err != nil {
			return ci.Trigger{}, err
		}
		if branch != "" {
			ref = "refs/heads/" + branch
		}
	}
	if ref != "HEAD" && !isRef(ref) {
		return ci.Trigger{}, fmt.Errorf("branch or tag %q: %w", ref, ci.ErrNotFound)
	}
	c, err := r.Commit(ctx, ref)
	if err != nil {
		return ci.Trigger{}, err
	}
	return r.trigger(ref, c, ""), nil
}

// trigger makes the trigger for a reference that has come to a commit.
func (r *Repo) trigger(ref string, c Commit, base string) ci.Trigger {
	t := ci.Trigger{
		Project: r.project.ID, Key: ref + "@" + c.Revision, Source: ci.SourceWebhook,
		Actor:    ci.Actor{Kind: ci.ActorForge, Login: c.Author},
		Revision: c.Revision, Base: base, Subject: c.Subject, Body: c.Body, Author: c.Author,
	}
	if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		t.Tag = tag
	} else {
		t.Branch = strings.TrimPrefix(ref, "refs/heads/")
	}
	return t
}

// The pace of Watch.
const (
	watchInterval = 200 * time.Millisecond
	// racy is how long the time of a file's last change may stand still while
	// the file changes again: the coarsest clock of the usual file systems.
	racy = 2 * time.Second
	// audit is how often the references are listed though nothing seems to have
	// changed: file systems over a network may hide changes.
	audit = 30 * time.Second
	// longestRetry is the longest pause after an error.
	longestRetry = 5 * time.Second
)

// A WatchConfig says how [Repo.Watch] looks. The zero WatchConfig is that only
// what comes later is new.
type WatchConfig struct {
	// Interval is the time between two looks; 0 is 200 ms.
	Interval time.Duration
	// Seen says whether a reference, by its full name, was known to be at a
	// commit when the watch began; nil says true.
	Seen func(ref, revision string) bool
	// Gone is told of a reference that was there and is no more, between two
	// triggers; nil is not.
	Gone func(ref string)
}

// Watch yields a trigger for every commit that a branch or tag comes to, until
// ctx ends, and then its error. It looks every interval, which
// costs a few calls of stat while nothing changes. A branch that got several
// commits between two looks yields one trigger, for the newest; a branch that
// was created, moved back or forced yields one; of a deleted one Gone is told. A
// commit whose message says [ci skip] or [skip ci] in the first 250 characters
// of subject or body yields none.
//
// What is there at the start counts as new when Seen says false. The key of each trigger is reference@hash, so a trigger
// that a server has taken before does no harm.
//
// Errors of git are yielded, once for each change of their text, and Watch goes
// on if the caller does.
func (r *Repo) Watch(ctx context.Context, cfg WatchConfig) iter.Seq2[ci.Trigger, error] {
	interval := cfg.Interval
	if interval <= 0 {
		interval = watchInterval
	}
	return func(yield func(ci.Trigger, error) bool) {
		w := &watcher{repo: r, cfg: cfg}
		wait, last := interval, ""
		for {
			more, err := w.look(ctx, yield)
			if ctx.Err() != nil {
				yield(ci.Trigger{}, ctx.Err())
				return
			}
			if !more {
				return
			}
			if err != nil {
				if err.Error() != last && !yield(ci.Trigger{}, err) {
					return
				}
				last, wait = err.Error(), min(wait*2, longestRetry)
			} else {
				last, wait = "", interval
			}
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}
}

// A watcher is one Watch.
type watcher struct {
	repo  *Repo
	cfg   WatchConfig
	known map[string]string // nil before the first look
	print fingerprint
	whole time.Time // when the references were listed last
}

// look yields what is new. It returns false when the caller wants no more.
func (w *watcher) look(ctx context.Context, yield func(ci.Trigger, error) bool) (bool, error) {
	// The print is taken before the list: what changes in between is seen next
	// time.
	now := time.Now()
	print := takePrint(w.repo, w.print)
	if w.known != nil && print.same(w.print) && !print.racy(now) && now.Sub(w.whole) < audit {
		return true, nil
	}
	refs, err := w.repo.Refs(ctx)
	if err != nil {
		return true, err
	}
	if w.known == nil {
		w.known = make(map[string]string, len(refs))
		for ref, hash := range refs {
			if w.cfg.Seen == nil || w.cfg.Seen(ref, hash) {
				w.known[ref] = hash
			}
		}
	}
	more, err := w.tell(ctx, refs, yield)
	if err == nil && more {
		w.print, w.whole = print, now
	}
	return more, err
}

// tell yields a trigger for each reference that is not where it was known to be.
func (w *watcher) tell(ctx context.Context, refs map[string]string, yield func(ci.Trigger, error) bool) (bool, error) {
	var moved, hashes []string
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		if w.known[ref] != refs[ref] {
			moved = append(moved, ref)
			hashes = append(hashes, refs[ref])
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(w.known)) {
		if refs[ref] == "" {
			delete(w.known, ref)
			if w.cfg.Gone != nil {
				w.cfg.Gone(ref)
			}
		}
	}
	if len(moved) == 0 {
		return true, nil
	}
	commits, err := w.repo.commits(ctx, hashes...)
	if err != nil {
		return true, fmt.Errorf("read new commits of %s: %w", w.repo.dir, err)
	}
	for _, ref := range moved {
		c, base := commits[refs[ref]], w.known[ref]
		w.known[ref] = c.Revision
		if !c.skipped() && !yield(w.repo.trigger(ref, c, base), nil) {
			return false, nil
		}
	}
	return true, nil
}
