package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// PutProject writes the project, by its ID. A slug that another project has is
// [ci.ErrConflict]; a project without ID or slug is [ci.ErrInvalid].
func (db *DB) PutProject(ctx context.Context, p ci.Project) error {
	if p.ID == "" || p.Slug == "" {
		return fmt.Errorf("put project %q: an ID and a slug are needed: %w", p.Slug, ci.ErrInvalid)
	}
	body, err := encode(p)
	if err == nil {
		err = db.update(ctx, func(tx *tx) error { return putProject(tx, p, body) })
	}
	if err != nil {
		return fmt.Errorf("put project %s: %w", p.Slug, err)
	}
	return nil
}

func putProject(tx *tx, p ci.Project, body string) error {
	var holder ci.ProjectID
	err := tx.row(`SELECT id FROM projects WHERE slug = ?`, []any{valid(p.Slug)}, &holder)
	switch {
	case err == nil && string(holder) != valid(p.ID):
		return fmt.Errorf("project %s has that slug: %w", holder, ci.ErrConflict)
	case err != nil && !errors.Is(err, ci.ErrNotFound):
		return err
	}
	_, err = tx.exec(`
		INSERT INTO projects (id, slug, body) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, body = excluded.body`,
		valid(p.ID), valid(p.Slug), body)
	return err
}

// Project returns the project with that ID.
func (db *DB) Project(ctx context.Context, id ci.ProjectID) (ci.Project, error) {
	return db.project(ctx, `SELECT body FROM projects WHERE id = ?`, valid(id))
}

// ProjectBySlug returns the project with that slug.
func (db *DB) ProjectBySlug(ctx context.Context, slug string) (ci.Project, error) {
	return db.project(ctx, `SELECT body FROM projects WHERE slug = ?`, valid(slug))
}

func (db *DB) project(ctx context.Context, query, key string) (ci.Project, error) {
	var p ci.Project
	var body []byte
	err := db.reader.row(ctx, query, []any{key}, &body)
	if err == nil {
		err = decode(body, &p)
	}
	if err != nil {
		return ci.Project{}, fmt.Errorf("project %s: %w", key, err)
	}
	return p, nil
}

// Projects yields all projects by slug.
func (db *DB) Projects(ctx context.Context) iter.Seq2[ci.Project, error] {
	const query = `SELECT slug, body FROM projects WHERE slug > ? ORDER BY slug LIMIT ?`
	after := ""
	return pages(func(page []ci.Project) ([]ci.Project, error) {
		err := db.reader.rows(ctx, query, []any{after, pageRows}, func(r *sql.Rows) error {
			var p ci.Project
			var body []byte
			if err := r.Scan(&after, &body); err != nil {
				return err
			}
			page = append(page, p)
			return decode(body, &page[len(page)-1])
		})
		if err != nil {
			return nil, fmt.Errorf("projects: %w", err)
		}
		return page, nil
	})
}
