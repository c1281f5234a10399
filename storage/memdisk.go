package storage

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"
)

// memDisk is a disk in memory.
type memDisk struct {
	mu    sync.Mutex
	files map[string]*memFile
}

func newMemDisk() *memDisk { return &memDisk{files: map[string]*memFile{}} }

func (d *memDisk) open(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return f, nil
}

func (d *memDisk) create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f := &memFile{written: time.Now()}
	d.files[name] = f
	return f, nil
}

func (d *memDisk) rename(old, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[old]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: old, Err: fs.ErrNotExist}
	}
	delete(d.files, old)
	d.files[name] = f
	return nil
}

func (d *memDisk) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, name)
	return nil
}

func (d *memDisk) each(visit func(string, time.Time) bool) error {
	d.mu.Lock()
	files := maps.Clone(d.files)
	d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		f.mu.RLock()
		written := f.written
		f.mu.RUnlock()
		if !visit(name, written) {
			return nil
		}
	}
	return nil
}

func (d *memDisk) sync() error  { return nil }
func (d *memDisk) close() error { return nil }

// memFile is a file of a memDisk. Closing it changes nothing.
type memFile struct {
	mu      sync.RWMutex
	data    []byte
	written time.Time
}

func (f *memFile) ReadAt(p []byte, pos int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if pos >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[pos:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, pos int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if pos > int64(len(f.data)) {
		return 0, errors.New("write beyond the end")
	}
	n := copy(f.data[pos:], p)
	f.data = append(f.data, p[n:]...)
	f.written = time.Now()
	return len(p), nil
}

func (f *memFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if size > int64(len(f.data)) {
		return errors.New("truncate beyond the end")
	}
	f.data = f.data[:size]
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return int64(len(f.data)), nil
}

func (f *memFile) Sync() error  { return nil }
func (f *memFile) Close() error { return nil }
