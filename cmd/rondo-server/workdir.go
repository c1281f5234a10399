package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A workDir is where one agent keeps the scratch folders of its tasks. Its
// lock goes with the process, so whoever finds an unlocked one may remove it.
type workDir struct {
	path string
	lock *os.File
}

// newWorkDir makes a folder below dir.
func newWorkDir(dir string) (*workDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make work folder: %w", err)
	}
	path, err := os.MkdirTemp(dir, "agent-")
	if err != nil {
		return nil, fmt.Errorf("make work folder: %w", err)
	}
	w := &workDir{path: path}
	if w.lock, err = lockFolder(path); err != nil {
		return nil, fmt.Errorf("lock work folder: %w", err)
	}
	return w, nil
}

func (w *workDir) close() {
	_ = removeTree(w.path)
	_ = w.lock.Close()
}

// lockFolder takes the lock of a folder, or fails at once.
func lockFolder(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// cleanWorkDirs removes the folders of agents that have died.
func cleanWorkDirs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("clean work folders: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		lock, err := lockFolder(path)
		if err != nil {
			continue // its agent lives
		}
		err = removeTree(path)
		_ = lock.Close()
		if err != nil {
			return fmt.Errorf("clean work folders: %w", err)
		}
	}
	return nil
}

// removeTree removes a tree, also one with folders that may not be written to.
func removeTree(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(name, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}
