package memdb

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

// docs are the documents of one kind.
type docs struct {
	byID  map[string]ci.Doc
	names map[docName]string // to the ID
}

type docName struct{ scope, name string }

// Doc returns a document by its kind and ID.
func (db *DB) Doc(ctx context.Context, kind, id string) (ci.Doc, error) {
	return db.doc(ctx, kind, func(of docs) string { return plain.Text(id) }, kind+" "+id)
}

// DocNamed returns the document of that name in the scope.
func (db *DB) DocNamed(ctx context.Context, kind, scope, name string) (ci.Doc, error) {
	return db.doc(ctx, kind, func(of docs) string {
		return of.names[docName{plain.Text(scope), plain.Text(name)}]
	}, fmt.Sprintf("%s %q in %q", kind, name, scope))
}

func (db *DB) doc(ctx context.Context, kind string, id func(docs) string, what string) (d ci.Doc, err error) {
	err = db.read(ctx, func() error {
		of := db.docs[plain.Text(kind)]
		found, ok := of.byID[id(of)]
		if !ok {
			return ci.ErrNotFound
		}
		d = copyDoc(found)
		return nil
	})
	if err != nil {
		return ci.Doc{}, fmt.Errorf("%s: %w", what, err)
	}
	return d, nil
}

// Docs yields what the query asks for, as it was when the iteration began.
func (db *DB) Docs(ctx context.Context, q ci.DocQuery) iter.Seq2[ci.Doc, error] {
	scope, after, before := plain.Text(q.Scope), plain.Text(q.After), plain.Text(q.Before)
	by := func(d ci.Doc) string {
		if q.AllScopes {
			return d.ID
		}
		return d.Name
	}
	return db.listDocs(ctx, q.Kind, q.Limit, func(d ci.Doc) bool {
		return (q.AllScopes || d.Scope == scope) && (after == "" || by(d) > after) && (before == "" || by(d) < before)
	}, func(a, b ci.Doc) int {
		if q.Newest {
			a, b = b, a
		}
		return cmp.Compare(by(a), by(b))
	})
}

// DueDocs yields the documents of a kind that are due, the longest overdue
// first.
func (db *DB) DueDocs(ctx context.Context, kind string, now time.Time, limit int) iter.Seq2[ci.Doc, error] {
	return db.listDocs(ctx, kind, limit, func(d ci.Doc) bool {
		return !d.Due.IsZero() && !d.Due.After(now)
	}, func(a, b ci.Doc) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
	})
}

func (db *DB) listDocs(ctx context.Context, kind string, limit int, want func(ci.Doc) bool, order func(a, b ci.Doc) int) iter.Seq2[ci.Doc, error] {
	return func(yield func(ci.Doc, error) bool) {
		var found []ci.Doc
		err := db.read(ctx, func() error {
			for _, d := range db.docs[plain.Text(kind)].byID {
				if want(d) {
					found = append(found, d)
				}
			}
			return nil
		})
		if err != nil {
			yield(ci.Doc{}, fmt.Errorf("documents of kind %s: %w", kind, err))
			return
		}
		slices.SortFunc(found, order)
		for i, d := range found {
			if limit > 0 && i == limit || !yield(copyDoc(d), nil) {
				return
			}
		}
	}
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
	err := db.update(ctx, func() (func(), error) {
		var undo []func()
		db.mu.Lock() // done in place and undone: a copy would cost as much as there is
		defer db.mu.Unlock()
		for i, c := range changes {
			back, err := db.changeDoc(&c.Doc, c.Delete)
			if err != nil {
				for _, f := range slices.Backward(undo) {
					f()
				}
				return nil, fmt.Errorf("write %s %s: %w", c.Doc.Kind, c.Doc.ID, err)
			}
			undo = append(undo, back)
			kept[i] = copyDoc(c.Doc)
		}
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	return kept, nil
}

// changeDoc does one change, fills in the document, and returns what undoes
// the change.
func (db *DB) changeDoc(d *ci.Doc, remove bool) (func(), error) {
	of, ok := db.docs[d.Kind]
	if !ok {
		of = docs{byID: map[string]ci.Doc{}, names: map[docName]string{}}
		db.docs[d.Kind] = of
	}
	old, exists := of.byID[d.ID]
	if d.Version != ci.AnyVersion && d.Version != old.Version {
		return nil, fmt.Errorf("its version is %d, not %d: %w", old.Version, d.Version, ci.ErrConflict)
	}
	name := docName{d.Scope, d.Name}
	if holder, taken := of.names[name]; taken && holder != d.ID && !remove {
		return nil, fmt.Errorf("%s has the name %q: %w", holder, d.Name, ci.ErrConflict)
	}
	if exists {
		delete(of.names, docName{old.Scope, old.Name})
		delete(of.byID, d.ID)
	}
	if !remove {
		d.Version, d.Created = old.Version+1, d.Updated
		if exists {
			d.Created = old.Created
		}
		of.byID[d.ID], of.names[name] = copyDoc(*d), d.ID
	}
	return func() {
		if !remove {
			delete(of.names, name)
			delete(of.byID, d.ID)
		}
		if exists {
			of.byID[old.ID], of.names[docName{old.Scope, old.Name}] = old, old.ID
		}
	}, nil
}

func copyDoc(d ci.Doc) ci.Doc {
	d.Body = bytes.Clone(d.Body)
	return d
}
