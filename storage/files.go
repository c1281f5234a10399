package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/rondo-ci/rondo/ci"
)

// FilesConfig says how files are kept. Its zero value works.
type FilesConfig struct {
	// MaxSize is how many bytes a file may have; 0 is no limit.
	MaxSize int64
	// Direct lets bytes go to the bucket and from it without passing through
	// this process; nil does not. What is stored so is an object as any other.
	Direct Direct
	// Now tells the time; nil is time.Now.
	Now func() time.Time
	// Log gets what no caller can be told; nil is silent.
	Log *slog.Logger
}

// Files keeps caches, workspace layers and artifacts in a bucket: a cache as
// caches/<project>/<key>, a layer as workspaces/<task>/<epoch>/<number>, an
// artifact as artifacts/<task>/<epoch>/<path>, each with the parts escaped and
// with a trailer of name, size, time and SHA-256 behind the file's own bytes.
// What a listing costs depends on the files in that folder alone.
//
// All methods are safe for concurrent use, also by several servers on one
// bucket. A file is durable when PutFile returns if the bucket is one of
// [OpenDir] or an object store.
type Files struct {
	bucket *blob.Bucket
	cfg    FilesConfig
}

// NewFiles returns the files in the bucket, which the caller closes.
func NewFiles(bucket *blob.Bucket, cfg FilesConfig) *Files {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Files{bucket: bucket, cfg: cfg}
}

// PutFile stores what r yields as the file named by Kind, Name and, unless it
// is a cache, Task and Epoch. It returns the file with Size, SHA256 and Stored
// set. If r fails, or what it yields is not what f.Size and f.SHA256 say where
// f says it, nothing is stored.
//
// A file never changes. If there is one of that name, it is returned together
// with [ci.ErrConflict] (look at the file returned: its SHA256 is set), and of
// several writers at once exactly one wins; r is then not read, or not to the
// end. An artifact or a layer that is stored again with the same bytes is no
// conflict, so an upload may be repeated. A name that the kind does not allow
// is [ci.ErrInvalid]: that of a cache is any string of 1 to 65,536 bytes, of a
// layer a number, of an artifact a clean relative path without control
// characters.
func (s *Files) PutFile(ctx context.Context, project ci.ProjectID, f ci.File, r io.Reader) (ci.File, error) {
	key, err := fileKey(project, f)
	if err != nil {
		return ci.File{}, fileError("put", f, err)
	}
	stored, err := s.put(ctx, key, f, r)
	if err != nil {
		return stored, fileError("put", f, err)
	}
	return stored, nil
}

func (s *Files) put(ctx context.Context, key string, f ci.File, r io.Reader) (ci.File, error) {
	if s.cfg.MaxSize > 0 && f.Size > s.cfg.MaxSize {
		return ci.File{}, s.tooLarge()
	}
	// The bucket decides who is first, but asking before saves most uploads.
	was, err := s.stat(ctx, key, f, -1)
	switch {
	case err == nil && f.Kind == ci.FileCache:
		return was, fmt.Errorf("it exists: %w", ci.ErrConflict)
	case err == nil:
		return s.repeat(ctx, was, r)
	case errors.Is(err, ErrCorrupt):
		if err := s.discard(ctx, key); err != nil {
			return ci.File{}, err
		}
	case !errors.Is(err, ci.ErrNotFound):
		return ci.File{}, err
	}
	stored, err := s.write(ctx, key, f, r)
	if gcerrors.Code(err) != gcerrors.FailedPrecondition {
		return stored, err
	}
	was, err = s.settled(ctx, key, f)
	switch {
	case absent(err):
		return ci.File{}, errors.New("another of that name came and is not there any more") // worth a retry
	case err != nil:
		return ci.File{}, err
	case f.Kind != ci.FileCache && was.SHA256 == stored.SHA256:
		return was, nil
	}
	return was, fmt.Errorf("it exists: %w", ci.ErrConflict)
}

// settled is stat of an object that the bucket has just said is there: some
// servers say so a moment before they show it.
func (s *Files) settled(ctx context.Context, key string, like ci.File) (ci.File, error) {
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		was, err := s.stat(ctx, key, like, -1)
		if !absent(err) || wait > time.Second {
			return was, err
		}
		select {
		case <-ctx.Done():
			return ci.File{}, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// repeat compares what is stored with what is to be stored.
func (s *Files) repeat(ctx context.Context, was ci.File, r io.Reader) (ci.File, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(contextReader{ctx, r}, was.Size+1))
	switch {
	case err != nil:
		return ci.File{}, err
	case n != was.Size || hex.EncodeToString(h.Sum(nil)) != was.SHA256:
		return was, fmt.Errorf("it exists with other bytes: %w", ci.ErrConflict)
	}
	return was, nil
}

// write stores the file, unless there is one.
func (s *Files) write(ctx context.Context, key string, f ci.File, r io.Reader) (ci.File, error) {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := s.bucket.NewWriter(wctx, key, &blob.WriterOptions{
		ContentType: "application/octet-stream", DisableContentTypeDetection: true, IfNotExist: true,
	})
	if err != nil {
		return ci.File{}, err
	}
	stored, err := s.fill(ctx, w, f, r)
	if err != nil {
		cancel() // so that closing does not make the object
		_ = w.Close()
		return ci.File{}, err
	}
	return stored, w.Close()
}

// fill writes the bytes and the trailer.
func (s *Files) fill(ctx context.Context, w io.Writer, f ci.File, r io.Reader) (ci.File, error) {
	r = contextReader{ctx, r}
	if s.cfg.MaxSize > 0 {
		r = io.LimitReader(r, s.cfg.MaxSize+1)
	}
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(w, h), r, make([]byte, 256<<10))
	sum := hex.EncodeToString(h.Sum(nil))
	switch {
	case err != nil:
		return ci.File{}, err
	case s.cfg.MaxSize > 0 && n > s.cfg.MaxSize:
		return ci.File{}, s.tooLarge()
	case f.SHA256 != "" && f.SHA256 != sum:
		return ci.File{}, fmt.Errorf("the bytes are not those announced: SHA-256 is %s: %w", sum, ci.ErrInvalid)
	case f.Size != n && (f.Size != 0 || f.SHA256 != ""):
		return ci.File{}, fmt.Errorf("the bytes are not those announced: %d instead of %d: %w", n, f.Size, ci.ErrInvalid)
	}
	f.Size, f.SHA256, f.Stored = n, sum, s.cfg.Now().UTC().Round(0)
	trailer, err := appendTrailer(nil, f)
	if err == nil {
		_, err = w.Write(trailer)
	}
	return f, err
}

func (s *Files) tooLarge() error {
	return fmt.Errorf("it has more than %d bytes: %w", s.cfg.MaxSize, ci.ErrInvalid)
}

// DeleteFile removes the file. One that is not there is no error. Whoever is
// reading it may read on or get an error, by the kind of bucket.
func (s *Files) DeleteFile(ctx context.Context, project ci.ProjectID, f ci.File) error {
	key, err := fileKey(project, f)
	if err == nil {
		err = s.discard(ctx, key)
	}
	if err != nil {
		return fileError("delete", f, err)
	}
	return nil
}

// discard removes an object. One that is not there is no error.
func (s *Files) discard(ctx context.Context, key string) error {
	if err := s.bucket.Delete(ctx, key); gcerrors.Code(err) != gcerrors.NotFound {
		return err
	}
	return nil
}

// stat reads the trailer of the object; size is that of the object where it is
// known, or -1. No object is [ci.ErrNotFound].
func (s *Files) stat(ctx context.Context, key string, like ci.File, size int64) (ci.File, error) {
	if size < 0 {
		attrs, err := s.bucket.Attributes(ctx, key)
		if err != nil {
			return ci.File{}, missing(err)
		}
		size = attrs.Size
	}
	hint := min(size, trailerHint)
	tail, err := readRange(ctx, s.bucket, key, size-hint, hint)
	if err != nil {
		return ci.File{}, missing(err)
	}
	need, err := trailerNeeds(tail)
	if err == nil && need > len(tail) {
		if int64(need) > size {
			return ci.File{}, ErrCorrupt
		}
		tail, err = readRange(ctx, s.bucket, key, size-int64(need), int64(need))
	}
	if err != nil {
		return ci.File{}, missing(err)
	}
	f, err := parseTrailer(tail[len(tail)-need:], size)
	if err != nil {
		return ci.File{}, err
	}
	if f.Kind = like.Kind; f.Kind != ci.FileCache {
		f.Task, f.Epoch = like.Task, like.Epoch
	}
	return f, nil
}

// fileKey returns the name of a file's object.
func fileKey(project ci.ProjectID, f ci.File) (string, error) {
	dir, err := folder(project, f)
	if err == nil {
		err = checkName(f.Kind, f.Name)
	}
	return dir + objectName(f.Name), err
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
