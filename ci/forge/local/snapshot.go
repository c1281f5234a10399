package local

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// A Snapshot is the working copy as a commit that can be cloned.
type Snapshot struct {
	// URL is the absolute path that git clones: the repository itself, or a
	// temporary one when there are changes.
	URL      string
	Revision string
	// Branch is what is checked out; "" when HEAD is detached.
	Branch string
	// Dirty says that the revision is not a commit of the repository.
	Dirty bool
	// Warnings are remarks for the user, one sentence each.
	Warnings []string

	temp string
}

// Close removes what the snapshot has put on the disk. Twice is no error.
func (s *Snapshot) Close() error {
	if s.temp == "" {
		return nil
	}
	if err := os.RemoveAll(s.temp); err != nil {
		return fmt.Errorf("remove snapshot: %w", err)
	}
	return nil
}

// Snapshot commits the working copy with its changes, staged or not, and its
// untracked files, except those that are ignored. The commit and its objects go
// to a temporary repository that borrows all else from this one; the
// repository itself is left as it is (git may renew the times of objects that it
// found to be of use). A clean working copy, and a bare
// repository, give HEAD. The same content on the same commit gives the same
// revision. The caller closes the snapshot when nobody clones it any more.
//
// Changes within submodules and untracked repositories in the folder are left
// out, with a warning. A repository with neither a commit nor a file is
// [ci.ErrNotFound].
func (r *Repo) Snapshot(ctx context.Context) (*Snapshot, error) {
	s := &Snapshot{URL: r.dir}
	if r.bare {
		var err error
		if s.Branch, s.Revision, err = r.Head(ctx); err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
		return s, nil
	}
	d := &draft{repo: r, s: s}
	changed, err := d.status(ctx)
	if err == nil && (changed || s.Revision == "") {
		err = d.make(ctx)
		if err != nil || !s.Dirty {
			err = errors.Join(err, s.Close())
			s.temp = ""
		}
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", r.dir, err)
	}
	return s, nil
}
