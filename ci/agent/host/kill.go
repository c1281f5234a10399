package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// killTime bounds how long killed processes may take to vanish. One that hangs
// in the kernel (a dead network disk) cannot be killed at all.
const killTime = 5 * time.Second

// Kill implements [place.Place].
func (h *host) Kill() error {
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		return nil
	}
	var waiting []*process
	for p := range h.live {
		p.Kill()
		waiting = append(waiting, p)
	}
	for _, g := range h.groups {
		_ = syscall.Kill(-g, syscall.SIGKILL)
	}
	h.groups = nil
	h.mu.Unlock()
	limit := time.NewTimer(killTime)
	defer limit.Stop()
	for _, p := range waiting {
		select {
		case <-p.done:
		case <-limit.C:
			return fmt.Errorf("kill task %s: process %d does not end", h.marker, p.pid)
		}
	}
	if left := h.sweep(); left > 0 {
		return fmt.Errorf("kill task %s: %d processes do not end", h.marker, left)
	}
	return nil
}

// Close implements [place.Place].
func (h *host) Close() error {
	h.mu.Lock()
	twice := h.closed
	h.closed = true
	h.mu.Unlock()
	err := h.Kill()
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	if twice {
		return err
	}
	if err != nil { // what lives might still write there
		return errors.Join(err, RemoveAll(h.layout.Scratch))
	}
	return h.executor.putFolder(h.layout.Scratch)
}

// RemoveAll removes a tree, also one whose directories are read-only, as those
// of Go's module cache are.
func RemoveAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove scratch folder: %w", err)
	}
	return nil
}
