package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/local"
)

// A localProject is a git folder of this machine whose new commits are built.
type localProject struct {
	in      *installation
	repo    *local.Repo
	project ci.Project
	file    string            // where the known branches are kept
	head    ci.Trigger        // at the start
	refs    map[string]string // at the start
}

// newLocalProject opens the project of a folder in an installation that is
// open.
func newLocalProject(ctx context.Context, in *installation, repo *local.Repo, file string, settings ci.Settings) (*localProject, error) {
	l := &localProject{in: in, repo: repo, project: repo.Project(), file: file}
	l.project.Settings, l.project.Followed = settings, true
	if err := l.register(ctx); err != nil {
		return nil, err
	}
	return l, l.look(ctx)
}

// register writes the project, under the identity that its slug has already.
func (l *localProject) register(ctx context.Context) error {
	autoCancel := l.project.AutoCancel
	known, err := l.in.db.ProjectBySlug(ctx, l.project.Slug)
	switch {
	case err == nil:
		l.project.ID, l.project.Settings = known.ID, known.Settings
		l.project.AutoCancel = autoCancel || known.AutoCancel
	case !errors.Is(err, ci.ErrNotFound):
		return err
	}
	return l.in.db.PutProject(ctx, l.project)
}

// look notes what HEAD and all branches are, before the server says that it is
// there: whatever is committed from then on is new.
func (l *localProject) look(ctx context.Context) (err error) {
	if l.refs, err = l.repo.Refs(ctx); err != nil {
		return err
	}
	l.head, err = l.repo.Trigger(ctx, "HEAD")
	if errors.Is(err, ci.ErrNotFound) {
		return nil // no commit yet
	}
	if l.head.Branch == "HEAD" { // none is checked out, and HEAD is no name for one
		l.head.Branch = "detached"
	}
	return err
}

// watch triggers a pipeline for HEAD and then for whatever is new, until ctx
// ends.
func (l *localProject) watch(ctx context.Context) error {
	known, err := loadRefs(l.file, l.refs, l.head.Revision)
	if err != nil {
		return err
	}
	if l.head.Key != "" {
		if err := l.consider(ctx, l.head, known); err != nil {
			return err
		}
	} else {
		l.in.log.Warn("the repository has no commit yet, waiting for the first one", "repo", l.repo.Dir())
	}
	seen := func(ref, revision string) bool { return known.seen[ref] == revision }
	gone := func(ref string) { l.gone(ctx, ref, known) }
	for ref := range maps.Clone(known.seen) {
		if _, there := l.refs[ref]; !there { // deleted while nobody looked
			gone(ref)
		}
	}
	for t, err := range l.repo.Watch(ctx, local.WatchConfig{Seen: seen, Gone: gone}) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			l.in.log.Warn("watch repository", "err", err)
			continue
		}
		if err := l.consider(ctx, t, known); err != nil {
			return err
		}
	}
	return nil
}

// gone forgets a branch or tag that was deleted, with what its configuration
// had planned.
func (l *localProject) gone(ctx context.Context, ref string, known *refs) {
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		if err := l.in.clock.BranchGone(ctx, l.project.ID, branch); err != nil {
			l.in.log.Warn("forget what a deleted branch had planned; it is noticed when its time comes", "branch", branch, "err", err)
		}
	}
	if err := known.forget(ref); err != nil {
		l.in.log.Warn("forget branch", "err", err)
	}
}

// consider triggers a pipeline, unless the trigger is about a new branch at a
// commit that has been built.
func (l *localProject) consider(ctx context.Context, t ci.Trigger, known *refs) error {
	if known.isNew(t) {
		if known.stands(t) {
			return known.saw(t)
		}
		if built, err := l.built(ctx, t); err != nil {
			return err
		} else if built {
			return known.saw(t)
		}
	}
	l.accept(ctx, t, known)
	return nil
}

// built reports whether one of the newest pipelines is of the trigger's commit,
// on another branch.
func (l *localProject) built(ctx context.Context, t ci.Trigger) (bool, error) {
	for p, err := range l.in.db.Pipelines(ctx, ci.Query{Project: l.project.ID, Limit: 100}) {
		if err != nil {
			return false, fmt.Errorf("look for pipelines of commit %.12s: %w", t.Revision, err)
		}
		if p.Trigger.Revision == t.Revision && p.Trigger.Branch != t.Branch {
			return true, nil
		}
	}
	return false, nil
}

// accept triggers a pipeline, again and again until the database takes it.
func (l *localProject) accept(ctx context.Context, t ci.Trigger, known *refs) {
	t.Project = l.project.ID
	for ctx.Err() == nil {
		_, err := l.in.engine.Server.Trigger(ctx, t)
		if err == nil {
			if err := known.saw(t); err != nil {
				l.in.log.Warn("note branch", "err", err)
			}
			return
		}
		l.in.log.Error("trigger pipeline, will try again", "ref", t.Key, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// folders is a code host with git folders of this machine, by project.
type folders map[ci.ProjectID]*local.Repo

func (f folders) File(ctx context.Context, p ci.Project, revision, path string) ([]byte, error) {
	repo := f[p.ID]
	if repo == nil {
		return nil, fmt.Errorf("project %s is no folder that this server builds: %w", p.Slug, ci.ErrNotFound)
	}
	return repo.File(ctx, revision, path)
}

func (f folders) Complete(ctx context.Context, p ci.Project, t ci.Trigger) (ci.Trigger, error) {
	repo := f[p.ID]
	if repo == nil {
		return ci.Trigger{}, fmt.Errorf("project %s is no folder that this server builds: %w", p.Slug, ci.ErrNotFound)
	}
	if t.Branch == "" && t.Tag == "" {
		t.Branch = p.DefaultBranch
	}
	ref := "refs/heads/" + t.Branch
	if t.Tag != "" {
		ref = "refs/tags/" + t.Tag
	}
	if t.Revision == "" {
		return repo.Trigger(ctx, ref)
	}
	c, err := repo.Commit(ctx, t.Revision)
	if err != nil {
		return ci.Trigger{}, err
	}
	// The name of a branch opens contexts and passes filters: it is not for the
	// sender to put it on code that is not there.
	switch has, err := repo.Contains(ctx, ref, c); {
	case err != nil:
		return ci.Trigger{}, err
	case !has:
		return ci.Trigger{}, fmt.Errorf("commit %.12s is not in the history of %s: %w", c.Revision, t.Branch+t.Tag, ci.ErrInvalid)
	}
	t.Revision, t.Subject, t.Body, t.Author = c.Revision, c.Subject, c.Body, c.Author
	return t, nil
}

// Follow says no more than whether the folder is built: its new commits are
// seen without anybody's help, for as long as the server is told of it.
func (f folders) Follow(_ context.Context, slug string, follow bool, _ ci.Actor) (ci.Project, error) {
	for id, repo := range f {
		p := repo.Project()
		switch {
		case p.Slug != slug:
			continue
		case !follow:
			return ci.Project{}, fmt.Errorf("the folder %s is built as long as the server is started with it: take it out of the settings: %w", repo.Dir(), ci.ErrInvalid)
		}
		p.ID, p.Followed = id, true
		return p, nil
	}
	return ci.Project{}, fmt.Errorf("follow %s: it is no folder that this server builds, and the server knows no other code host: %w", slug, ci.ErrInvalid)
}

// Key has nobody to tell: a folder needs no key.
func (f folders) Key(context.Context, ci.Project, ci.Key, bool) error { return nil }
