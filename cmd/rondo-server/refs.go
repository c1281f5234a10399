package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// refs remembers the commit of each branch and tag for which a pipeline was
// triggered, so that a server that was away finds what is new. It is a hint
// that saves work: a trigger that it forgot is recognised by its key.
type refs struct {
	path string
	seen map[string]string
}

// loadRefs reads the file, or begins one in which all of now are seen but the
// branches that stand at head: its pipeline is still to come.
func loadRefs(path string, now map[string]string, head string) (*refs, error) {
	b, err := os.ReadFile(path)
	r := &refs{path: path, seen: map[string]string{}}
	switch {
	case err == nil:
		_ = json.Unmarshal(b, &r.seen) // a torn file only costs work
		return r, nil
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("read known branches: %w", err)
	}
	for ref, revision := range now {
		if revision != head || !strings.HasPrefix(ref, "refs/heads/") {
			r.seen[ref] = revision
		}
	}
	return r, r.save()
}

// saw notes the reference and commit of a trigger.
func (r *refs) saw(t ci.Trigger) error {
	ref := refOf(t)
	if r.seen[ref] == t.Revision {
		return nil
	}
	r.seen[ref] = t.Revision
	return r.save()
}

// refOf returns the full name of the reference that a trigger's key begins
// with. The commit stands behind the last @; a branch may have one in its name.
func refOf(t ci.Trigger) string { return strings.TrimSuffix(t.Key, "@"+t.Revision) }

// isNew reports whether the trigger is about a branch that was not there.
func (r *refs) isNew(t ci.Trigger) bool {
	ref := refOf(t)
	return strings.HasPrefix(ref, "refs/heads/") && r.seen[ref] == ""
}

// stands reports whether another branch stands at the trigger's commit.
func (r *refs) stands(t ci.Trigger) bool {
	for ref, revision := range r.seen {
		if revision == t.Revision && strings.HasPrefix(ref, "refs/heads/") {
			return true
		}
	}
	return false
}

func (r *refs) save() error {
	b, err := json.Marshal(r.seen)
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.path+".new", b, 0o600); err != nil {
		return fmt.Errorf("keep known branches: %w", err)
	}
	return os.Rename(r.path+".new", r.path)
}

// look notes what HEAD and all branches are, before the server says that it is
// there: whatever is committed from then on is new.
func (s *devServer) look(ctx context.Context) (err error) {
	if s.refs, err = s.repo.Refs(ctx); err != nil {
		return err
	}
	s.head, err = s.repo.Trigger(ctx, "HEAD")
	if errors.Is(err, ci.ErrNotFound) {
		return nil // no commit yet
	}
	if s.head.Branch == "HEAD" { // none is checked out, and HEAD is no name for one
		s.head.Branch = "detached"
	}
	return err
}

// watch triggers a pipeline for HEAD and then for whatever is new, until ctx
// ends.
func (s *devServer) watch(ctx context.Context) error {
	known, err := loadRefs(s.folder.Join("refs.json"), s.refs, s.head.Revision)
	if err != nil {
		return err
	}
	if s.head.Key != "" {
		if err := s.consider(ctx, s.head, known); err != nil {
			return err
		}
	} else {
		s.log.Warn("the repository has no commit yet, waiting for the first one", "repo", s.repo.Dir())
	}
	seen := func(ref, revision string) bool { return known.seen[ref] == revision }
	for t, err := range s.repo.Watch(ctx, 0, seen) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.log.Warn("watch repository", "err", err)
			continue
		}
		if err := s.consider(ctx, t, known); err != nil {
			return err
		}
	}
	return nil
}

// consider triggers a pipeline, unless the trigger is about a new branch at a
// commit that has been built.
func (s *devServer) consider(ctx context.Context, t ci.Trigger, known *refs) error {
	if known.isNew(t) {
		if known.stands(t) {
			return known.saw(t)
		}
		if built, err := s.built(ctx, t); err != nil {
			return err
		} else if built {
			return known.saw(t)
		}
	}
	s.accept(ctx, t, known)
	return nil
}

// built reports whether one of the newest pipelines is of the trigger's commit,
// on another branch.
func (s *devServer) built(ctx context.Context, t ci.Trigger) (bool, error) {
	for p, err := range s.db.Pipelines(ctx, ci.Query{Project: s.project.ID, Limit: 100}) {
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
func (s *devServer) accept(ctx context.Context, t ci.Trigger, known *refs) {
	t.Project = s.project.ID
	for ctx.Err() == nil {
		_, err := s.engine.Server.Trigger(ctx, t)
		if err == nil {
			if err := known.saw(t); err != nil {
				s.log.Warn("note branch", "err", err)
			}
			return
		}
		s.log.Error("trigger pipeline, will try again", "ref", t.Key, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
