package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A disk is the flat folder that hot files live in. The real one is osDisk;
// memDisk is for tests and offline runs, and the tests have one that loses
// power. All methods are safe for concurrent use.
type disk interface {
	// open opens a file that exists; fs.ErrNotExist if there is none.
	open(name string) (file, error)
	// create makes a file that must not exist yet.
	create(name string) (file, error)
	rename(old, name string) error
	remove(name string) error // of a missing file is no error
	// each calls visit for every file until it returns false.
	each(visit func(name string, written time.Time) bool) error
	// sync returns when the names made so far would survive a loss of power.
	sync() error
	close() error
}

// A file is an open file of a disk. Reading, writing and syncing may happen at
// once.
type file interface {
	ReadAt(p []byte, pos int64) (int, error)
	WriteAt(p []byte, pos int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Size() (int64, error)
	Close() error
}

// osDisk is a folder. All access goes through an os.Root, so a link that was
// planted in the folder leads nowhere.
type osDisk struct {
	root *os.Root
	dir  *os.File // kept open to sync the names
}

func openDisk(dir string) (osDisk, error) {
	root, err := openRoot(dir)
	if err != nil {
		return osDisk{}, err
	}
	d, err := root.Open(".")
	if err != nil {
		_ = root.Close()
		return osDisk{}, err
	}
	return osDisk{root: root, dir: d}, nil
}

// openRoot makes the folder, durably, if it is not there, and opens it. A
// folder that everybody may write to is refused: what is kept in it is not
// what Rondo wrote.
func openRoot(dir string) (*os.Root, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("folder %s may be written by everybody (mode %v)", dir, info.Mode().Perm())
	}
	return os.OpenRoot(dir)
}

// makeDir makes the folder and all above it that are missing.
func makeDir(dir string) error {
	dir = filepath.Clean(dir)
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrExist):
		return nil // if it is no folder, opening it says so
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir:
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		return makeDir(dir)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (d osDisk) open(name string) (file, error)   { return d.openFile(name, 0) }
func (d osDisk) create(name string) (file, error) { return d.openFile(name, os.O_CREATE|os.O_EXCL) }

func (d osDisk) openFile(name string, flag int) (file, error) {
	f, err := d.root.OpenFile(name, os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osDisk) rename(old, name string) error { return d.root.Rename(old, name) }

func (d osDisk) remove(name string) error {
	if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d osDisk) each(visit func(string, time.Time) bool) error {
	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(1024)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() {
				continue // removed since, or not ours
			}
			if !visit(e.Name(), info.ModTime()) {
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (d osDisk) sync() error  { return d.dir.Sync() }
func (d osDisk) close() error { return errors.Join(d.dir.Close(), d.root.Close()) }

// osFile is an os.File that knows its size.
type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
