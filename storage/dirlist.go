package storage

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gocloud.dev/blob/driver"
)

// dirPage is how many objects a page of a listing has by default. Every page
// reads the folders it touches anew.
const dirPage = 4000

// errEnough ends a walk.
var errEnough = errors.New("enough")

// ListPaged implements driver.Bucket. Only folders that the prefix leaves open
// are looked into, so a listing costs what lies under its prefix.
func (d *dirBucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	l := &lister{ctx: ctx, dir: d, opts: opts, after: string(opts.PageToken), size: opts.PageSize}
	if l.size <= 0 {
		l.size = dirPage
	}
	start := ""
	if i := strings.LastIndexByte(opts.Prefix, '/'); i >= 0 {
		start = opts.Prefix[:i+1]
		if d.checkKey(opts.Prefix[:i]) != nil {
			return &driver.ListPage{}, nil // no object can be there
		}
	}
	if err := l.walk(start); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return &l.page, nil
}

// A lister makes one page of a listing.
type lister struct {
	ctx   context.Context
	dir   *dirBucket
	opts  *driver.ListOptions
	after string // the last key of the page before
	size  int
	page  driver.ListPage
}

// walk visits what lies in a folder, in the order of keys. at is "" or ends
// with a slash.
func (l *lister) walk(at string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	dir, err := l.dir.root.Open(path.Clean("./" + at))
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return nil // nothing there, or not any more
	}
	if err != nil {
		return err
	}
	entries, err := dir.ReadDir(-1)
	_ = dir.Close()
	if err != nil {
		if isNotDir(err) {
			return nil
		}
		return err
	}
	keys := make([]string, 0, len(entries))
	found := make(map[string]fs.DirEntry, len(entries))
	for _, e := range entries {
		key := at + e.Name()
		if e.IsDir() {
			key += "/"
		}
		if !strings.HasPrefix(e.Name(), ".") && l.open(key) {
			keys = append(keys, key)
			found[key] = e
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if err := l.visit(key, found[key]); err != nil {
			return err
		}
	}
	return nil
}

// open says whether a key, or what lies in the folder that it names, can be on
// the page.
func (l *lister) open(key string) bool {
	dir := strings.HasSuffix(key, "/")
	if !strings.HasPrefix(key, l.opts.Prefix) && !(dir && strings.HasPrefix(l.opts.Prefix, key)) {
		return false
	}
	return key > l.after || dir && strings.HasPrefix(l.after, key)
}

// visit puts an object on the page, or walks on into a folder.
func (l *lister) visit(key string, e fs.DirEntry) error {
	o := &driver.ListObject{Key: key}
	if rest := key[min(len(key), len(l.opts.Prefix)):]; l.opts.Delimiter != "" {
		if i := strings.Index(rest, l.opts.Delimiter); i >= 0 {
			o.Key, o.IsDir = key[:len(l.opts.Prefix)+i+len(l.opts.Delimiter)], true
		}
	}
	switch {
	case o.IsDir:
		if n := len(l.page.Objects); o.Key <= l.after || n > 0 && l.page.Objects[n-1].Key == o.Key {
			return nil
		}
	case e.IsDir():
		return l.walk(key)
	default:
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			return nil // gone since, or a link
		}
		o.ModTime, o.Size = info.ModTime(), info.Size()
	}
	if len(l.page.Objects) == l.size {
		l.page.NextPageToken = bytes.Clone([]byte(l.page.Objects[l.size-1].Key))
		return errEnough
	}
	l.page.Objects = append(l.page.Objects, o)
	return nil
}
