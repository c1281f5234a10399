package workshop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rondo-ci/rondo/ci/agent/host"
)

// A workDir is where one agent keeps the scratch folders of its tasks. Its
// lock goes with the process, so whoever finds an unlocked one may remove it.
type workDir struct {
	path string
	lock *os.File
}

// lockTries is how many new folders may be cleaned away under an agent's hands
// before it gives up.
const lockTries = 100

// newWorkDir makes a folder below dir. Between its making and its lock another
// process may take the folder for that of a dead agent; then there is a new
// one.
func newWorkDir(dir string) (*workDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make work folder: %w", err)
	}
	for try := 0; ; try++ {
		path, err := os.MkdirTemp(dir, "agent-")
		if err != nil {
			return nil, fmt.Errorf("make work folder: %w", err)
		}
		lock, err := lockFolder(path)
		if err == nil {
			return &workDir{path, lock}, nil
		}
		if try == lockTries {
			return nil, fmt.Errorf("lock work folder: %w", err)
		}
	}
}

func (w *workDir) close() {
	_ = host.RemoveAll(w.path)
	_ = w.lock.Close()
}

// errMoved says that a path stands for something else than it did.
var errMoved = errors.New("it was removed or replaced")

// lockFolder takes the lock of a folder, or fails at once. Jobs can put
// anything into the folder above, so a pipe is not waited for and a link not
// followed; and what is locked is what the path still stands for.
func lockFolder(path string) (*os.File, error) {
	const flags = os.O_RDONLY | syscall.O_DIRECTORY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = unmoved(path, f)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// unmoved returns an error unless the path stands for the open folder.
func unmoved(path string, f *os.File) error {
	locked, err := f.Stat()
	if err != nil {
		return err
	}
	found, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(locked, found) {
		return errMoved
	}
	return nil
}

// CleanDirs removes the folders of agents that have died, and what else
// jobs have left beside them. What cannot be removed does not keep it from the
// rest.
func CleanDirs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("clean work folders: %w", err)
	}
	var failed []error
	for _, e := range entries {
		if err := cleanWorkDir(filepath.Join(dir, e.Name()), e.IsDir()); err != nil {
			failed = append(failed, fmt.Errorf("clean work folders: %w", err))
		}
	}
	return errors.Join(failed...)
}

func cleanWorkDir(path string, isDir bool) error {
	if !isDir {
		err := os.Remove(path)
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	lock, err := lockFolder(path)
	if err != nil {
		return nil // its agent lives
	}
	defer lock.Close()
	return host.RemoveAll(path)
}
