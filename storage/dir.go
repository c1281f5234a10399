package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

const (
	tempDir = ".tmp"
	// tempAge is how long an unfinished write must have been silent before
	// its file is taken for one that a crash has left.
	tempAge = time.Hour
	// maxDurable is how many folders are remembered to be durable.
	maxDurable = 4096
)

// OpenDir makes a bucket of a folder, which is made if it is missing. The
// object a/b/c is the file a/b/c, with nothing beside it.
//
// It keeps the promises that whoever stores something counts on. When a write
// returns, the object would survive a loss of power; before, nobody sees any
// of it. With IfNotExist exactly one of several writers wins, also those of
// other processes. What a crash has left of unfinished writes is removed after
// an hour, in passing. Links in the folder that lead out of it are not
// followed, and a folder that everybody may write to is refused.
//
// A part of a name between slashes must not be empty, begin with a dot, or be
// longer than 255 bytes, and no object can have the name of a folder of
// others. Bytes, size and time are all that is kept of an object: no content
// type, no metadata. Signed URLs and hooks (BeforeWrite and so on) are not
// supported.
func OpenDir(dir string) (*blob.Bucket, error) {
	root, err := openRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	if err := root.Mkdir(tempDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		_ = root.Close()
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	d := &dirBucket{root: root}
	d.sweep(time.Now())
	return blob.NewBucket(d), nil
}

// dirBucket is the driver of a bucket that is a folder.
type dirBucket struct {
	root  *os.Root
	swept atomic.Int64 // when temporary files were last looked through
	once  sync.Mutex   // see commitOnce

	mu      sync.Mutex
	durable map[string]bool // folders whose names are durable; not all of them
}

// errName is what a name is that a folder cannot have.
var errName = errors.New("a folder cannot have an object of this name")

// errExists says that IfNotExist was asked for and there is an object.
var errExists = errors.New("there is an object of this name")

// checkKey says whether there can be an object of that name.
func (d *dirBucket) checkKey(key string) error {
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part[0] == '.' || len(part) > 255 || strings.IndexByte(part, 0) >= 0 {
			return errName
		}
	}
	return nil
}

// ErrorCode implements driver.Bucket.
func (d *dirBucket) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, fs.ErrNotExist), isNotDir(err):
		return gcerrors.NotFound
	case errors.Is(err, errExists):
		return gcerrors.FailedPrecondition
	case errors.Is(err, errName):
		return gcerrors.InvalidArgument
	case errors.Is(err, errors.ErrUnsupported):
		return gcerrors.Unimplemented
	case errors.Is(err, fs.ErrPermission):
		return gcerrors.PermissionDenied
	}
	return gcerrors.Unknown
}

// Attributes implements driver.Bucket.
func (d *dirBucket) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	if err := d.checkKey(key); err != nil {
		return nil, err
	}
	info, err := d.root.Stat(key)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return &driver.Attributes{
		ContentType: "application/octet-stream", ModTime: info.ModTime(), Size: info.Size(), ETag: etag(info),
	}, nil
}

// etag tells apart what the same name has stood for.
func etag(info fs.FileInfo) string {
	return fmt.Sprintf("\"%x-%x\"", info.ModTime().UnixNano(), info.Size())
}

// NewRangeReader implements driver.Bucket.
func (d *dirBucket) NewRangeReader(_ context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if err := d.checkKey(key); err != nil {
		return nil, err
	}
	f, err := d.root.Open(key)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	if length < 0 || length > info.Size() {
		length = max(0, info.Size()-offset)
	}
	return &dirReader{io.NewSectionReader(f, offset, length), f, info}, nil
}

// dirReader reads a part of an object.
type dirReader struct {
	*io.SectionReader
	f    *os.File
	info fs.FileInfo
}

func (r *dirReader) Close() error { return r.f.Close() }
func (r *dirReader) As(any) bool  { return false }
func (r *dirReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{
		ContentType: "application/octet-stream", ModTime: r.info.ModTime(), Size: r.info.Size(),
	}
}

// Copy implements driver.Bucket.
func (d *dirBucket) Copy(ctx context.Context, to, from string, _ *driver.CopyOptions) error {
	r, err := d.NewRangeReader(ctx, from, 0, -1, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := d.NewTypedWriter(ctx, to, "", &driver.WriterOptions{})
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		cancel()
		return errors.Join(err, w.Close())
	}
	return w.Close()
}

// Delete implements driver.Bucket. Folders that get empty are removed too.
func (d *dirBucket) Delete(_ context.Context, key string, _ *driver.DeleteOptions) error {
	if err := d.checkKey(key); err != nil {
		return err
	}
	if info, err := d.root.Lstat(key); err != nil {
		return err
	} else if info.IsDir() {
		return fs.ErrNotExist
	}
	if err := d.root.Remove(key); err != nil {
		return err
	}
	d.removeEmpty(path.Dir(key))
	return nil
}

// SignedURL implements driver.Bucket.
func (d *dirBucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errors.ErrUnsupported
}

// As implements driver.Bucket.
func (d *dirBucket) As(any) bool { return false }

// ErrorAs implements driver.Bucket.
func (d *dirBucket) ErrorAs(error, any) bool { return false }

// Close implements driver.Bucket.
func (d *dirBucket) Close() error { return d.root.Close() }

var _ driver.Bucket = (*dirBucket)(nil)
