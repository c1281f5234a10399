package onhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// pause is between two tries of what has no way to be waited for.
const pause = 10 * time.Millisecond

// lock opens a file or folder and locks it, against other goroutines as well as
// other processes. Closing it unlocks; so does the death of the process. One
// that is not there is fs.ErrNotExist, also when it went while we waited.
func lock(ctx context.Context, path string, flags int) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, flags, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(ctx, f, syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		mine, err := f.Stat()
		if err == nil {
			if now, err := os.Stat(path); err == nil && os.SameFile(mine, now) {
				return f, nil
			}
		}
		f.Close() // another one is there under that name, or none
	}
}

func flock(ctx context.Context, f *os.File, how int) error {
	return poll(ctx, func() (bool, error) {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return false, nil
		}
		return true, err
	})
}

// poll asks until it is done, there is an error, or the context ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// write writes a file whole or not at all.
func write(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// draft makes a folder that is locked until it is closed: one that is not is
// nobody's any more, and [Driver.ids] removes it.
func draft(parent string) (*os.File, error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	for {
		dir, err := os.MkdirTemp(parent, ".new-*")
		if err != nil {
			return nil, err
		}
		f, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed before it was locked
		} else if err != nil {
			return nil, err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && exists(dir) {
			return f, nil
		}
		f.Close()
	}
}

// whole makes a folder with a record in a file of that name, and with what fill
// puts beside it, or none. One that is there already stays.
func whole(dir, name string, record any, fill func(draft string) error) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	held, err := draft(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer held.Close()
	draft := held.Name()
	defer os.RemoveAll(draft)
	if err := write(filepath.Join(draft, name), text, 0o600); err != nil {
		return err
	}
	if err := fill(draft); err != nil {
		return err
	}
	if err := os.Rename(draft, dir); err != nil && !errors.Is(err, fs.ErrExist) && !exists(dir) {
		return err
	}
	return nil
}

// abandoned removes a draft that nobody has locked.
func abandoned(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil
	}
	return os.RemoveAll(dir)
}

// exists reports whether there is a file or folder of that name.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
