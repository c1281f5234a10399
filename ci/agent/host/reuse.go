package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A skeleton is what a new scratch folder consists of. A folder that can be
// brought back to it serves the next task: making and removing a handful of
// files and folders costs a file system more than a short step takes.
type skeleton map[string]bone

// A bone is one file, folder or link of a skeleton. Files are empty.
type bone struct {
	mode fs.FileMode
	link string // target
}

// skeletonOf describes a folder.
func skeletonOf(dir string) (skeleton, error) {
	s := skeleton{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		b := bone{mode: info.Mode()}
		if info.Mode()&fs.ModeSymlink != 0 {
			b.link, err = os.Readlink(path)
		}
		s[name] = b
		return err
	})
	return s, err
}

// errChanged says that a folder cannot be brought back.
var errChanged = errors.New("the job has changed it")

// restore brings a folder back to its skeleton. The job's processes are gone,
// but everything they left is hostile: nothing is followed out of the folder,
// and where a part of the skeleton is not as it was made, the folder is given
// up.
func (s skeleton) restore(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	found := 0
	if err := s.clean(root, ".", &found); err != nil {
		return err
	}
	if found != len(s) {
		return errChanged
	}
	return nil
}

// clean restores the named folder and counts what it finds of the skeleton.
func (s skeleton) clean(root *os.Root, name string, found *int) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	b := s[name]
	if info.Mode() != b.mode {
		return errChanged
	}
	*found++
	switch {
	case b.mode&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		if err == nil && target != b.link {
			err = errChanged
		}
		return err
	case b.mode.IsRegular():
		if info.Size() == 0 {
			return nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Nlink != 1 {
			return errChanged // it has another name, somewhere
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			return err
		}
		return f.Close()
	case !b.mode.IsDir():
		return fmt.Errorf("%s: not of a skeleton", name)
	}
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	_ = d.Close()
	if err != nil {
		return err
	}
	for _, n := range names {
		n = filepath.Join(name, n)
		if _, ours := s[n]; ours {
			err = s.clean(root, n, found)
		} else {
			err = root.RemoveAll(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
