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
	path  string
	seen  map[string]string
	moved map[string]time.Time // when this process saw a reference move
}

// loadRefs reads the file, or begins one in which all of now are seen.
func loadRefs(path string, now map[string]string) (*refs, error) {
	r := &refs{path: path, seen: now, moved: map[string]time.Time{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, r.save()
	}
	if err != nil {
		return nil, fmt.Errorf("read known branches: %w", err)
	}
	r.seen = map[string]string{}
	_ = json.Unmarshal(b, &r.seen) // a torn file only costs work
	return r, nil
}

// saw notes the reference and commit in a trigger's key.
func (r *refs) saw(key string) error {
	i := strings.LastIndexByte(key, '@')
	if i < 0 || r.seen[key[:i]] == key[i+1:] {
		return nil
	}
	r.seen[key[:i]], r.moved[key[:i]] = key[i+1:], time.Now()
	return r.save()
}

// settled is how long a branch must stand at a commit before another branch
// there counts as a new name only. Of branches that appear together with their
// commits nobody can tell which one the commit was made on.
const settled = 2 * time.Second

// renames reports whether the key is that of a new branch which stands where
// another branch has stood for a while: no new commit, only a new name.
func (r *refs) renames(key string) bool {
	i := strings.LastIndexByte(key, '@')
	if i < 0 || !strings.HasPrefix(key, "refs/heads/") || r.seen[key[:i]] != "" {
		return false
	}
	for ref, revision := range r.seen {
		if revision == key[i+1:] && strings.HasPrefix(ref, "refs/heads/") && time.Since(r.moved[ref]) > settled {
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

// watch triggers a pipeline for HEAD and then for whatever is new, until ctx
// ends.
func (s *devServer) watch(ctx context.Context) error {
	now, err := s.repo.Refs(ctx)
	if err != nil {
		return err
	}
	head, err := s.repo.Trigger(ctx, "HEAD")
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return err
	}
	if head.Branch == "HEAD" { // none is checked out, and git takes no branch of that name
		head.Branch = "detached"
	}
	// HEAD is seen when its pipeline is accepted, not before.
	ref, _, _ := strings.Cut(head.Key, "@")
	delete(now, ref)
	known, err := loadRefs(s.folder.Join("refs.json"), now)
	if err != nil {
		return err
	}
	if head.Key != "" {
		s.accept(ctx, head, known)
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
		if known.renames(t.Key) {
			if err := known.saw(t.Key); err != nil {
				s.log.Warn("note branch", "err", err)
			}
			continue
		}
		s.accept(ctx, t, known)
	}
	return nil
}

// accept triggers a pipeline, again and again until the database takes it.
func (s *devServer) accept(ctx context.Context, t ci.Trigger, known *refs) {
	t.Project = s.project.ID
	for ctx.Err() == nil {
		_, err := s.engine.Server.Trigger(ctx, t)
		if err == nil {
			if err := known.saw(t.Key); err != nil {
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
