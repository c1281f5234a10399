package door

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// Direct is a way for large files to the bucket and from it that does not pass
// through the door. [Files] that have one mean the same files by it.
type Direct interface {
	// DirectFrom is the size in bytes from which on it may be asked; 0 says that
	// there is no way at the moment.
	DirectFrom() int64
	// BeginFile returns u with links for its parts; the zero Upload when the
	// file has to be put. A name that is taken gives the existing file, and
	// [ci.ErrConflict] unless it is no cache and has the same bytes.
	BeginFile(ctx context.Context, p ci.ProjectID, f ci.File, u ci.Upload) (ci.File, ci.Upload, error)
	// CommitFile makes the file of the parts, once all have arrived and are as
	// announced; before, there is none. It may be repeated, and is otherwise as
	// PutFile.
	CommitFile(ctx context.Context, p ci.ProjectID, f ci.File, u ci.Upload) (ci.File, error)
	// LinkFile returns the file and a link to its bytes; the zero Link when it
	// has to be opened.
	LinkFile(ctx context.Context, p ci.ProjectID, f ci.File) (ci.File, ci.Link, error)
}

// maxBegun is how many uploads a hand-out may have begun and not committed: what
// they hold is paid for until it is swept.
const maxBegun = 64

// BeginFile begins a file of the lease's task, as [Door.PutFile] names it, whose
// bytes go to the bucket by the links that are returned in u. f.Size and
// f.SHA256 are those of the whole, u.Part and u.Sums those of its parts. The
// zero Upload says that the bytes have to come by PutFile, or, where a file is
// returned, that it is stored already. A cache key that exists is
// [ci.ErrConflict] with the existing file.
func (d *Door) BeginFile(ctx context.Context, l ci.Lease, f ci.File, u ci.Upload) (ci.File, ci.Upload, error) {
	was, begun, err := d.beginFile(ctx, l, f, u)
	if err != nil {
		return was, ci.Upload{}, fmt.Errorf("begin %s %q of task %s: %w", f.Kind, f.Name, l.Task, err)
	}
	return was, begun, nil
}

func (d *Door) beginFile(ctx context.Context, l ci.Lease, f ci.File, u ci.Upload) (was ci.File, begun ci.Upload, err error) {
	s, f, err := d.fileOf(ctx, l, f)
	if err != nil || d.cfg.Direct == nil {
		return was, begun, err
	}
	if s.begun.Add(1) <= maxBegun {
		was, begun, err = d.cfg.Direct.BeginFile(ctx, s.owner(f.Kind), f, u)
	}
	if begun.ID == "" || err != nil {
		s.begun.Add(-1)
	}
	return was, begun, err
}

// CommitFile makes the file that was begun, with the same f and u; until it
// returns there is none. The lease is checked once more, so a file whose task
// has been taken away never comes to be. The errors are those of
// [Door.PutFile]; bytes that have not arrived are [ci.ErrInvalid].
func (d *Door) CommitFile(ctx context.Context, l ci.Lease, f ci.File, u ci.Upload) (ci.File, error) {
	s, f, err := d.fileOf(ctx, l, f)
	if err == nil && d.cfg.Direct == nil {
		err = fmt.Errorf("files come by this door only: %w", ci.ErrInvalid)
	}
	var stored ci.File
	if err == nil {
		stored, err = d.cfg.Direct.CommitFile(ctx, s.owner(f.Kind), f, u)
		if s.begun.Add(-1) < 0 {
			s.begun.Store(0) // it began at another server, or is repeated
		}
	}
	if err != nil {
		return stored, fmt.Errorf("commit %s %q of task %s: %w", f.Kind, f.Name, l.Task, err)
	}
	return stored, nil
}

// LinkFile returns the file that [Door.OpenFile] would open and a link to its
// bytes, whose length and SHA-256 the reader compares; the zero Link when it has
// to be opened.
func (d *Door) LinkFile(ctx context.Context, l ci.Lease, f ci.File) (ci.File, ci.Link, error) {
	s, err := d.scope(ctx, l)
	if err == nil {
		err = s.may(f)
	}
	if err == nil && d.cfg.Direct == nil {
		return ci.File{}, ci.Link{}, nil
	}
	var is ci.File
	var link ci.Link
	if err == nil {
		is, link, err = d.cfg.Direct.LinkFile(ctx, s.owner(f.Kind), f)
	}
	if err != nil {
		return ci.File{}, ci.Link{}, fmt.Errorf("link to %s %q for task %s: %w", f.Kind, f.Name, l.Task, err)
	}
	return is, link, nil
}

// fileOf returns the reach of the lease and the file as its task may store it.
func (d *Door) fileOf(ctx context.Context, l ci.Lease, f ci.File) (*scope, ci.File, error) {
	if err := checkName(f); err != nil {
		return nil, f, err
	}
	if f.Size > d.cfg.MaxFile {
		return nil, f, errTooLarge
	}
	s, err := d.scope(ctx, l)
	if err != nil {
		return nil, f, err
	}
	f.Task, f.Epoch = l.Task, l.Epoch
	if f.Kind == ci.FileCache {
		f.Task, f.Epoch = "", 0
	}
	return s, f, nil
}
