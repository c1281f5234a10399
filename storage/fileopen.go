package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"gocloud.dev/blob"

	"github.com/rondo-ci/rondo/ci"
)

// OpenFile returns the bytes of the file named by Kind, Name and, unless it is
// a cache, Task and Epoch. What is not there, is not whole, or is not the file
// with f.SHA256 where that is set, is [ci.ErrNotFound]. Reading checks: where
// the last byte has been read, damaged bytes give [ErrCorrupt] instead of
// io.EOF, so nothing may be made of them before io.EOF was seen. A cache that
// proves damaged is also removed, so that it can be stored anew. The reader is
// for one goroutine and ends with ctx.
func (s *Files) OpenFile(ctx context.Context, project ci.ProjectID, f ci.File) (io.ReadCloser, error) {
	r, err := s.open(ctx, project, f, 0, -1)
	if err != nil {
		return nil, fileError("open", f, err)
	}
	return r, nil
}

// OpenRange is OpenFile for length bytes from offset on, or for all from there
// if length is negative. It yields less where the file ends before; an offset
// beyond the end is [ci.ErrInvalid]. A part of a file cannot be checked.
func (s *Files) OpenRange(ctx context.Context, project ci.ProjectID, f ci.File, offset, length int64) (io.ReadCloser, error) {
	r, err := s.open(ctx, project, f, offset, length)
	if err != nil {
		return nil, fileError("open", f, err)
	}
	return r, nil
}

func (s *Files) open(ctx context.Context, project ci.ProjectID, f ci.File, offset, length int64) (io.ReadCloser, error) {
	key, err := fileKey(project, f)
	if err != nil {
		return nil, err
	}
	is, err := s.whole(ctx, key, f)
	switch {
	case err != nil:
		return nil, err
	case offset < 0 || offset > is.Size:
		return nil, fmt.Errorf("offset %d of %d bytes: %w", offset, is.Size, ci.ErrInvalid)
	}
	if length < 0 || length > is.Size-offset {
		length = is.Size - offset
	}
	r, err := s.bucket.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return nil, missing(err)
	}
	if offset > 0 || length < is.Size {
		return r, nil
	}
	return &fileReader{ctx: ctx, files: s, key: key, f: is, r: r, sum: sha256.New()}, nil
}

// whole returns what is stored as f, if it is whole and that file.
func (s *Files) whole(ctx context.Context, key string, f ci.File) (ci.File, error) {
	is, err := s.stat(ctx, key, f, -1)
	switch {
	case errors.Is(err, ErrCorrupt):
		s.cfg.Log.Warn("a stored file is not whole", "kind", string(f.Kind), "task", string(f.Task))
		return ci.File{}, fmt.Errorf("it is not whole: %w", ci.ErrNotFound)
	case err != nil:
		return ci.File{}, err
	case is.Name != f.Name, f.SHA256 != "" && f.SHA256 != is.SHA256:
		return ci.File{}, fmt.Errorf("it is another file: %w", ci.ErrNotFound)
	}
	return is, nil
}

// A fileReader reads a whole file and checks it.
type fileReader struct {
	ctx   context.Context // of the call that the reader serves
	files *Files
	key   string
	f     ci.File
	r     *blob.Reader
	sum   hash.Hash
	n     int64
	end   error // of reading, once it has been reached
}

func (r *fileReader) Read(p []byte) (int, error) {
	if r.end != nil {
		return 0, r.end
	}
	n, err := r.r.Read(p)
	r.sum.Write(p[:n])
	r.n += int64(n)
	switch {
	case err == io.EOF:
		r.end = r.check()
	case err != nil:
		r.end = fileError("read", r.f, err)
	}
	return n, r.end
}

// check returns io.EOF if the bytes that were read are those of the file.
func (r *fileReader) check() error {
	if r.n == r.f.Size && hex.EncodeToString(r.sum.Sum(nil)) == r.f.SHA256 {
		return io.EOF
	}
	r.files.cfg.Log.Error("a stored file is damaged",
		"kind", string(r.f.Kind), "task", string(r.f.Task), "sha256", r.f.SHA256)
	if r.f.Kind == ci.FileCache {
		_ = r.files.bucket.Delete(context.WithoutCancel(r.ctx), r.key) // else it stays a miss
	}
	return fileError("read", r.f, ErrCorrupt)
}

func (r *fileReader) Close() error { return r.r.Close() }

// fileError says what was done to which file. The name of a cache is made by
// the job, perhaps from secrets, so neither it nor a text that may hold it
// (that of an operating system's error holds the path) is shown.
func fileError(op string, f ci.File, err error) error {
	if f.Kind == ci.FileCache {
		sum := sha256.Sum256([]byte(f.Name))
		return fmt.Errorf("%s cache %s: %w", op, hex.EncodeToString(sum[:4]), quiet(err))
	}
	return fmt.Errorf("%s %.20s %.200q of task %.100q epoch %d: %w", op, f.Kind, f.Name, f.Task, f.Epoch, err)
}
