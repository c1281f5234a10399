package memdb

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

// PutProject writes the project, by its ID. A slug that another project has is
// [ci.ErrConflict]; a project without ID or slug is [ci.ErrInvalid].
func (db *DB) PutProject(ctx context.Context, p ci.Project) error {
	if p.ID == "" || p.Slug == "" {
		return fmt.Errorf("put project %q: an ID and a slug are needed: %w", p.Slug, ci.ErrInvalid)
	}
	p, err := clone(p)
	if err == nil {
		err = db.update(ctx, func() (func(), error) {
			if holder, taken := db.slugs[p.Slug]; taken && holder != p.ID {
				return nil, fmt.Errorf("project %s has that slug: %w", holder, ci.ErrConflict)
			}
			return func() {
				delete(db.slugs, db.projects[p.ID].Slug)
				db.projects[p.ID], db.slugs[p.Slug] = p, p.ID
			}, nil
		})
	}
	if err != nil {
		return fmt.Errorf("put project %s: %w", p.Slug, err)
	}
	return nil
}

// Project returns the project with that ID.
func (db *DB) Project(ctx context.Context, id ci.ProjectID) (p ci.Project, err error) {
	err = db.read(ctx, func() error {
		var ok bool
		if p, ok = db.projects[plain.Text(id)]; !ok {
			return ci.ErrNotFound
		}
		return nil
	})
	if err != nil {
		return ci.Project{}, fmt.Errorf("project %s: %w", id, err)
	}
	return p, nil
}

// ProjectBySlug returns the project with that slug.
func (db *DB) ProjectBySlug(ctx context.Context, slug string) (p ci.Project, err error) {
	err = db.read(ctx, func() error {
		id, ok := db.slugs[plain.Text(slug)]
		if !ok {
			return ci.ErrNotFound
		}
		p = db.projects[id]
		return nil
	})
	if err != nil {
		return ci.Project{}, fmt.Errorf("project %s: %w", slug, err)
	}
	return p, nil
}

// Projects yields all projects by slug.
func (db *DB) Projects(ctx context.Context) iter.Seq2[ci.Project, error] {
	return sequence(ctx, db, "projects", func() ([]ci.Project, error) {
		var all []ci.Project
		for _, slug := range slices.Sorted(maps.Keys(db.slugs)) {
			all = append(all, db.projects[db.slugs[slug]])
		}
		return all, nil
	})
}

// sequence yields what list returns when the iteration begins.
func sequence[T any](ctx context.Context, db *DB, what string, list func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var all []T
		err := db.read(ctx, func() (err error) {
			all, err = list()
			return err
		})
		if err != nil {
			var none T
			yield(none, fmt.Errorf("%s: %w", what, err))
			return
		}
		for _, v := range all {
			if !yield(mustClone(v), nil) {
				return
			}
		}
	}
}
