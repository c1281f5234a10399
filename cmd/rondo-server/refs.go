package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/proxy/certificate"
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

// forget forgets a reference that is gone.
func (r *refs) forget(ref string) error {
	if _, ok := r.seen[ref]; !ok {
		return nil
	}
	delete(r.seen, ref)
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
	if err := certificate.WriteFile(r.path, b, 0o600); err != nil {
		return fmt.Errorf("keep known branches: %w", err)
	}
	return nil
}
