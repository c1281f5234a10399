package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"gocloud.dev/blob/driver"
)

// NewTypedWriter implements driver.Bucket.
func (d *dirBucket) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	if err := d.checkKey(key); err != nil {
		return nil, err
	}
	if now := time.Now(); now.UnixNano()-d.swept.Load() > int64(tempAge) {
		d.sweep(now)
	}
	temp := tempDir + "/" + rand.Text()
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &dirWriter{File: f, ctx: ctx, dir: d, temp: temp, key: key, once: opts.IfNotExist}, nil
}

// sweep removes what a crash has left of unfinished writes.
func (d *dirBucket) sweep(now time.Time) {
	d.swept.Store(now.UnixNano())
	dir, err := d.root.Open(tempDir)
	if err != nil {
		return
	}
	defer dir.Close()
	entries, _ := dir.ReadDir(-1)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > tempAge {
			_ = d.root.Remove(tempDir + "/" + e.Name())
		}
	}
}

// dirWriter writes a temporary file and gives it its name when it is closed.
type dirWriter struct {
	*os.File
	ctx  context.Context
	dir  *dirBucket
	temp string
	key  string
	once bool
}

// Close makes the object, unless the context has ended.
func (w *dirWriter) Close() error {
	err := w.ctx.Err()
	if err == nil {
		err = w.Sync()
	}
	if cerr := w.File.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = w.dir.commit(w.temp, w.key, w.once)
	}
	if err != nil || w.once { // a link leaves the temporary name
		_ = w.dir.root.Remove(w.temp)
	}
	return err
}

// commit gives a temporary file its name, durably.
func (d *dirBucket) commit(temp, key string, once bool) error {
	for try := 0; ; try++ {
		made, err := d.makeDirs(path.Dir(key))
		if err == nil {
			if once {
				err = d.root.Link(temp, key)
			} else {
				err = d.root.Rename(temp, key)
			}
		}
		switch {
		case err == nil:
			return d.syncDirs(path.Dir(key), made)
		case once && noLinks(err):
			return d.commitOnce(temp, key)
		case errors.Is(err, fs.ErrNotExist) && try < 10:
			continue // somebody removed the folder while it was empty
		case errors.Is(err, fs.ErrExist) && once:
			return errExists
		}
		return err
	}
}

// commitOnce is commit with IfNotExist where the file system has no links. It
// keeps apart the writers of this process only.
func (d *dirBucket) commitOnce(temp, key string) error {
	d.once.Lock()
	defer d.once.Unlock()
	if _, err := d.root.Lstat(key); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(errExists, err)
	}
	return d.commit(temp, key, false)
}

func noLinks(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK)
}

// makeDirs makes the folder and those above it, and says whether any of them
// was missing.
func (d *dirBucket) makeDirs(dir string) (made bool, err error) {
	if dir == "." {
		return false, nil
	}
	err = d.root.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := d.makeDirs(path.Dir(dir)); err != nil {
			return false, err
		}
		err = d.root.Mkdir(dir, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil // if it is no folder, naming the file fails
	}
	return err == nil, err
}

// syncDirs makes the names in a folder durable and, unless they are known to
// be, those of the folder itself and of all above it.
func (d *dirBucket) syncDirs(dir string, made bool) error {
	d.mu.Lock()
	known := !made && d.durable[dir]
	d.mu.Unlock()
	if err := d.syncDir(dir); err != nil || known {
		return err
	}
	for up := dir; up != "."; {
		up = path.Dir(up)
		if err := d.syncDir(up); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.durable == nil || len(d.durable) >= maxDurable {
		d.durable = map[string]bool{}
	}
	d.durable[dir] = true
	return nil
}

func (d *dirBucket) syncDir(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeEmpty removes the folder and those above it, as far as they are empty.
func (d *dirBucket) removeEmpty(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		d.mu.Lock()
		delete(d.durable, dir)
		d.mu.Unlock()
		if d.root.Remove(dir) != nil {
			return
		}
	}
}

// isNotDir says whether a path goes through something that is no folder.
func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
