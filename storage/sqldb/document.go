package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

const selectDoc = `SELECT kind, id, scope, name, body, sealed, due, version, created, updated FROM docs `

// Doc returns a document by its kind and ID.
func (db *DB) Doc(ctx context.Context, kind, id string) (ci.Doc, error) {
	return db.doc(ctx, kind+" "+id, selectDoc+`WHERE kind = ? AND id = ?`, valid(kind), valid(id))
}

// DocNamed returns the document of that name in the scope.
func (db *DB) DocNamed(ctx context.Context, kind, scope, name string) (ci.Doc, error) {
	return db.doc(ctx, fmt.Sprintf("%s %q in %q", kind, name, scope),
		selectDoc+`WHERE kind = ? AND scope = ? AND name = ?`, valid(kind), valid(scope), valid(name))
}

func (db *DB) doc(ctx context.Context, what, query string, args ...any) (ci.Doc, error) {
	var d ci.Doc
	err := ci.ErrNotFound
	read := db.reader.rows(ctx, query, args, func(r *sql.Rows) error {
		d, err = scanDoc(r)
		return err
	})
	if err := errors.Join(read, err); err != nil {
		return ci.Doc{}, fmt.Errorf("%s: %w", what, err)
	}
	return d, nil
}

func scanDoc(r *sql.Rows) (ci.Doc, error) {
	var d ci.Doc
	var due sql.NullInt64
	var created, updated int64
	err := r.Scan(&d.Kind, &d.ID, &d.Scope, &d.Name, &d.Body, &d.Sealed, &due, &d.Version, &created, &updated)
	d.Created, d.Updated = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
	if due.Valid {
		d.Due = time.UnixMilli(due.Int64).UTC()
	}
	if len(d.Body) == 0 {
		d.Body = nil
	}
	return d, err
}

// The statements of Docs: by name within a scope or by ID, upwards or
// downwards. The bound on the far side is always there, so each is one range
// of one index.
const (
	docsUp      = selectDoc + `WHERE kind = ? AND scope = ? AND name > ? AND name < ? ORDER BY name LIMIT ?`
	docsDown    = selectDoc + `WHERE kind = ? AND scope = ? AND name > ? AND name < ? ORDER BY name DESC LIMIT ?`
	allDocsUp   = selectDoc + `WHERE kind = ? AND id > ? AND id < ? ORDER BY id LIMIT ?`
	allDocsDown = selectDoc + `WHERE kind = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT ?`
)

// Docs yields what the query asks for, page by page.
func (db *DB) Docs(ctx context.Context, q ci.DocQuery) iter.Seq2[ci.Doc, error] {
	after, before, left := valid(q.After), db.reader.behind, q.Limit
	if q.Before != "" {
		before = valid(q.Before)
	}
	query, fixed := docsUp, []any{valid(q.Kind), valid(q.Scope)}
	switch {
	case q.AllScopes && q.Newest:
		query, fixed = allDocsDown, fixed[:1]
	case q.AllScopes:
		query, fixed = allDocsUp, fixed[:1]
	case q.Newest:
		query = docsDown
	}
	return pages(func(page []ci.Doc) ([]ci.Doc, error) {
		rows := pageRows
		if q.Limit > 0 {
			rows = min(rows, left)
		}
		args := append(slices.Clone(fixed), after, before, rows)
		err := db.reader.rows(ctx, query, args, func(r *sql.Rows) error {
			d, err := scanDoc(r)
			page = append(page, d)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("documents of kind %s: %w", q.Kind, err)
		}
		if n := len(page); n > 0 {
			last := page[n-1].Name
			if q.AllScopes {
				last = page[n-1].ID
			}
			if q.Newest {
				before = last
			} else {
				after = last
			}
			left -= n
		}
		return page, nil
	})
}

// DueDocs yields the documents of a kind that are due, the longest overdue
// first.
func (db *DB) DueDocs(ctx context.Context, kind string, now time.Time, limit int) iter.Seq2[ci.Doc, error] {
	const query = selectDoc + `WHERE kind = ? AND due IS NOT NULL AND (due, id) > (?, ?) AND due <= ? ORDER BY due, id LIMIT ?`
	var from int64 = -1 << 62
	id, left := "", limit
	return pages(func(page []ci.Doc) ([]ci.Doc, error) {
		rows := pageRows
		if limit > 0 {
			rows = min(rows, left)
		}
		err := db.reader.rows(ctx, query, []any{valid(kind), from, id, now.UnixMilli(), rows}, func(r *sql.Rows) error {
			d, err := scanDoc(r)
			page = append(page, d)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("due documents of kind %s: %w", kind, err)
		}
		if n := len(page); n > 0 {
			from, id = page[n-1].Due.UnixMilli(), page[n-1].ID
			left -= n
		}
		return page, nil
	})
}

// WriteDocs does all the changes, in order, or none of them.
func (db *DB) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	changes = slices.Clone(changes)
	for i, c := range changes {
		var err error
		if changes[i], err = plain.Change(c); err != nil {
			return nil, err
		}
	}
	kept := make([]ci.Doc, len(changes))
	err := db.update(ctx, func(tx *tx) error {
		for i, c := range changes {
			if err := changeDoc(tx, &c.Doc, c.Delete); err != nil {
				return fmt.Errorf("write %s %s: %w", c.Doc.Kind, c.Doc.ID, err)
			}
			kept[i] = c.Doc
			kept[i].Body = slices.Clone(c.Doc.Body)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return kept, nil
}

// changeDoc does one change and fills in the document.
func changeDoc(tx *tx, d *ci.Doc, remove bool) error {
	if d.Version == 0 && !remove {
		if added, err := addDoc(tx, d); added || err != nil {
			return err
		} // else something has its ID or name: what follows says which
	}
	var version, created int64
	err := tx.row(`SELECT version, created FROM docs WHERE kind = ? AND id = ?`, []any{d.Kind, d.ID}, &version, &created)
	exists := err == nil
	switch {
	case err != nil && !errors.Is(err, ci.ErrNotFound):
		return err
	case d.Version != ci.AnyVersion && d.Version != version:
		return fmt.Errorf("its version is %d, not %d: %w", version, d.Version, ci.ErrConflict)
	case remove:
		_, err := tx.exec(`DELETE FROM docs WHERE kind = ? AND id = ?`, d.Kind, d.ID)
		return err
	}
	var holder string
	err = tx.row(`SELECT id FROM docs WHERE kind = ? AND scope = ? AND name = ?`, []any{d.Kind, d.Scope, d.Name}, &holder)
	switch {
	case err == nil && holder != d.ID:
		return fmt.Errorf("%s has the name %q: %w", holder, d.Name, ci.ErrConflict)
	case err != nil && !errors.Is(err, ci.ErrNotFound):
		return err
	}
	d.Version, d.Created = version+1, d.Updated
	if exists {
		d.Created = time.UnixMilli(created).UTC()
	}
	_, err = tx.exec(insertDoc+`
		ON CONFLICT (kind, id) DO UPDATE SET scope = excluded.scope, name = excluded.name, body = excluded.body,
			sealed = excluded.sealed, due = excluded.due, version = excluded.version, updated = excluded.updated`, docRow(*d)...)
	return err
}

const insertDoc = `
		INSERT INTO docs (kind, id, scope, name, body, sealed, due, version, created, updated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// addDoc writes a document that is to be new, with one statement. It reports
// false, and nothing is changed, where another one has its ID or name.
func addDoc(tx *tx, d *ci.Doc) (bool, error) {
	fresh := *d
	fresh.Version, fresh.Created = 1, d.Updated
	n, err := tx.exec(insertDoc+` ON CONFLICT DO NOTHING`, docRow(fresh)...)
	if err != nil || n == 0 {
		return false, err
	}
	*d = fresh
	return true, nil
}

// docRow returns the columns of a document.
func docRow(d ci.Doc) []any {
	var due any
	if !d.Due.IsZero() {
		due = d.Due.UnixMilli()
	}
	body := d.Body
	if body == nil {
		body = []byte{}
	}
	return []any{d.Kind, d.ID, d.Scope, d.Name, body, d.Sealed, due, d.Version, d.Created.UnixMilli(), d.Updated.UnixMilli()}
}
