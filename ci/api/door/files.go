package door

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// How many files one listing may return. Caches come newest first, and nobody
// wants the hundredth; the others are a task's own.
const (
	maxCaches = 100
	maxFiles  = 10_000
)

// maxName is how long a file's name may be, in bytes. Storage may allow less.
const maxName = 64 << 10

var errTooLarge = fmt.Errorf("file is too large: %w", ci.ErrInvalid)

// PutFile stores what r yields as a file of the lease's task, or as a cache of
// its project (of the fork, when it builds a pull request from one); f.Kind and
// f.Name say which. The lease is checked before the
// first byte and again after the last, before the file becomes visible.
//
// A cache key that exists gives the existing file and [ci.ErrConflict]; a stale
// lease gives [ci.ErrConflict] and no file. A workspace layer or an artifact
// that the same hand-out has stored before is no error when the bytes are the
// same (the reply was lost), and like a cache key when they differ.
func (d *Door) PutFile(ctx context.Context, l ci.Lease, f ci.File, r io.Reader) (ci.File, error) {
	stored, err := d.putFile(ctx, l, f, r)
	if err != nil {
		return stored, fmt.Errorf("put %s %q of task %s: %w", f.Kind, f.Name, l.Task, err)
	}
	return stored, nil
}

func (d *Door) putFile(ctx context.Context, l ci.Lease, f ci.File, r io.Reader) (ci.File, error) {
	s, f, err := d.fileOf(ctx, l, f)
	if err != nil {
		return ci.File{}, err
	}
	in := &intake{r: r, left: d.cfg.MaxFile, check: func() error { return d.leases.Check(l) }, sum: sha256.New()}
	stored, err := d.files.PutFile(ctx, s.owner(f.Kind), f, in)
	switch {
	case in.err != nil:
		// The reason is known better here than where the reader was used; and
		// a stale lease must not look like a name that is taken.
		return ci.File{}, in.err
	case err == nil:
		return stored, nil
	case f.Kind == ci.FileCache || !errors.Is(err, ci.ErrConflict):
		return stored, err
	}
	if _, drained := io.Copy(io.Discard, in); drained != nil {
		return ci.File{}, drained
	}
	if stored.SHA256 == hex.EncodeToString(in.sum.Sum(nil)) {
		return stored, nil
	}
	return stored, err
}

// checkName returns an error unless the file may be stored under its name.
func checkName(f ci.File) error {
	bad := f.Name == "" || len(f.Name) > maxName || strings.ContainsRune(f.Name, 0)
	switch f.Kind {
	case ci.FileCache:
	case ci.FileArtifact:
		bad = bad || !fs.ValidPath(f.Name) || f.Name == "."
	case ci.FileWorkspace:
		n, err := strconv.Atoi(f.Name)
		bad = bad || err != nil || n < 0 || strconv.Itoa(n) != f.Name
	default:
		return fmt.Errorf("file kind %q: %w", f.Kind, ci.ErrInvalid)
	}
	if bad {
		return fmt.Errorf("file name: %w", ci.ErrInvalid)
	}
	return nil
}

// An intake is a file on its way in. It sums and limits the bytes and puts the
// last check of the lease in place of io.EOF, so that a file whose task has
// been taken away is never committed.
type intake struct {
	r     io.Reader
	left  int64
	check func() error
	sum   hash.Hash
	err   error // why the file must not be stored
	done  bool
}

func (in *intake) Read(p []byte) (int, error) {
	switch {
	case in.err != nil:
		return 0, in.err
	case in.done:
		return 0, io.EOF
	}
	n, err := in.r.Read(p)
	in.sum.Write(p[:n])
	in.left -= int64(n)
	switch {
	case in.left < 0:
		in.err = errTooLarge
	case err == io.EOF:
		in.done = true
		if in.err = in.check(); in.err == nil {
			return n, io.EOF
		}
	case err != nil:
		in.err = err
	}
	if in.err != nil {
		return 0, in.err
	}
	return n, nil
}

// FindFiles lists files that the lease's task may read: caches of its project
// whose name begins with like.Name, newest first; or, for like.Task and
// like.Epoch, the workspace layers or artifacts of a task that it requires, or
// its own, by name. Files of any other task are [ci.ErrDenied]. None is no
// error.
func (d *Door) FindFiles(ctx context.Context, l ci.Lease, like ci.File) ([]ci.File, error) {
	s, err := d.scope(ctx, l)
	if err == nil {
		err = s.may(like)
	}
	if err != nil {
		return nil, fmt.Errorf("find files for task %s: %w", l.Task, err)
	}
	limit := maxFiles
	if like.Kind == ci.FileCache {
		limit = maxCaches
	}
	var found []ci.File
	for f, err := range d.files.FindFiles(ctx, s.owner(like.Kind), like) {
		if err != nil {
			return nil, fmt.Errorf("find files for task %s: %w", l.Task, err)
		}
		found = append(found, f)
		if len(found) == limit {
			break
		}
	}
	return found, nil
}

// OpenFile reads a file that [Door.FindFiles] may list. A file that does not
// exist is [ci.ErrNotFound]; one that was damaged ends with an error in place
// of io.EOF. The caller closes the reader.
func (d *Door) OpenFile(ctx context.Context, l ci.Lease, f ci.File) (io.ReadCloser, error) {
	s, err := d.scope(ctx, l)
	if err == nil {
		err = s.may(f)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s %q for task %s: %w", f.Kind, f.Name, l.Task, err)
	}
	r, err := d.files.OpenFile(ctx, s.owner(f.Kind), f)
	if err != nil {
		return nil, fmt.Errorf("open %s %q for task %s: %w", f.Kind, f.Name, l.Task, err)
	}
	return r, nil
}
