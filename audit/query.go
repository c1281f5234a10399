package audit

import (
	"context"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// defaultLimit is how many events a query returns that does not say, maxLimit
// how many one may ask for, and maxScan how many it looks at before it answers
// with what it has.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxScan      = 50_000
)

// Entries returns events that the query asks for, newest first, and the number
// that Before of the next query takes; 0 is the end. There may be a next
// although there are fewer than Limit, or none: a query looks at so many lines
// and no more.
func (b *Book) Entries(ctx context.Context, q ci.AuditQuery, by ci.Actor) (found []ci.AuditEntry, next uint64, err error) {
	if err := b.cfg.May(ctx, by); err != nil {
		return nil, 0, err
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	q.Limit = min(q.Limit, maxLimit)
	f, seen := newFilter(q), 0
	look := func(l Line) bool {
		seen++
		if f.wants(l) {
			found = append(found, ci.AuditEntry{Seq: l.Seq, Line: l.Text})
		}
		next = l.Seq
		return len(found) < q.Limit && seen < maxScan
	}
	var s shelf
	if _, err := b.load(ctx, kindShelf, &s); err != nil {
		return nil, 0, err
	}
	done, err := b.backDocs(ctx, q.Before, s.Trimmed, look)
	if err == nil && !done {
		if next == 0 {
			next = q.Before
		}
		done, err = b.backFiles(ctx, next, s.Trimmed, f, look)
	}
	if err != nil {
		return nil, 0, err
	}
	if !done || next == 1 {
		next = 0
	}
	return found, next, nil
}

// backDocs looks at lines in the database from before on backwards, down to
// what is in files only, and reports whether look had enough.
func (b *Book) backDocs(ctx context.Context, before, trimmed uint64, look func(Line) bool) (bool, error) {
	query := ci.DocQuery{Kind: kindEntry, AllScopes: true, Newest: true, After: entryID(trimmed)}
	if before > 0 {
		query.Before = entryID(before)
	}
	for d, err := range b.docs.Docs(ctx, query) {
		if err != nil {
			return false, err
		}
		l, err := ParseLine(d.Body)
		if err != nil {
			return false, err
		}
		if !look(l) {
			return true, nil
		}
	}
	return false, nil
}

// backFiles does the same with the files, one in memory at a time.
func (b *Book) backFiles(ctx context.Context, before, trimmed uint64, f filter, look func(Line) bool) (bool, error) {
	if before == 0 || before > trimmed {
		before = trimmed + 1
	}
	files, err := b.filesBefore(ctx, before)
	if err != nil {
		return false, err
	}
	for _, file := range files {
		if !f.overlaps(file) {
			continue
		}
		var lines []Line
		for l, err := range fileLines(ctx, b.bucket, file.Key) {
			if err != nil {
				return false, err
			}
			if l.Seq < before {
				lines = append(lines, l)
			}
		}
		for _, l := range slices.Backward(lines) {
			if !look(l) {
				return true, nil
			}
		}
	}
	return false, nil
}

// filesBefore lists the files that have lines before a number, newest first.
func (b *Book) filesBefore(ctx context.Context, before uint64) ([]File, error) {
	var files []File
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindFile, AllScopes: true}) {
		if err != nil {
			return nil, err
		}
		f, err := readFileDoc(d)
		if err != nil {
			return nil, err
		}
		if f.First >= before {
			break
		}
		files = append(files, f)
	}
	slices.Reverse(files)
	return files, nil
}
