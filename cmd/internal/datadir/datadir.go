// Package datadir is a server's data folder: where it is by default, that only
// one server uses it at a time, and the secrets it keeps there.
package datadir

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rondo-ci/rondo/proxy/certificate"
)

// A Folder is an open data folder. Close lets another server use it.
type Folder struct {
	Path string
	lock *os.File
}

// Default returns the folder for the repository at path: below
// $XDG_DATA_HOME/rondo (or ~/.local/share/rondo), named after the repository
// and a hash of its whole path, so that two repositories never share one.
func Default(repo string) (string, error) {
	base := os.Getenv("XDG_DATA_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("choose a data folder: %w (give one with --data)", err)
		}
		base = filepath.Join(home, ".local", "share")
	}
	sum := sha256.Sum256([]byte(repo))
	return filepath.Join(base, "rondo", filepath.Base(repo)+"-"+hex.EncodeToString(sum[:4])), nil
}

// Open makes the folder if need be (mode 0700) and takes its lock. The lock
// goes with the process, however that ends.
func Open(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	info, err := os.Stat(path)
	if err == nil {
		err = private(path, info)
	}
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		owner, _ := os.ReadFile(lock.Name())
		_ = lock.Close()
		return nil, fmt.Errorf("data folder %s is in use by another Rondo server (process %s): stop that one, or give this one another folder with --data",
			path, strings.TrimSpace(string(owner)))
	}
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("lock data folder %s: %w", path, err)
	}
	if err := lock.Truncate(0); err == nil {
		_, err = fmt.Fprintf(lock, "%d\n", os.Getpid())
		if err != nil {
			_ = lock.Close()
			return nil, fmt.Errorf("write to data folder %s: %w", path, err)
		}
	}
	return &Folder{Path: path, lock: lock}, nil
}

// Share makes a folder if need be (mode 0700) that several servers use, which
// agree by other means who writes to it. It takes no lock, and Close does
// nothing.
func Share(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		err = os.MkdirAll(path, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("open shared folder: %w", err)
	}
	info, err := os.Stat(path)
	if err == nil {
		err = private(path, info)
	}
	if err != nil {
		return nil, fmt.Errorf("open shared folder: %w", err)
	}
	return &Folder{Path: path}, nil
}

// Close gives the lock back.
func (f *Folder) Close() error {
	if f.lock == nil {
		return nil
	}
	return f.lock.Close()
}

// Join returns a path below the folder.
func (f *Folder) Join(names ...string) string {
	return filepath.Join(append([]string{f.Path}, names...)...)
}

// Secret returns the secret kept in the named file (mode 0600), making one of
// 160 random bits at first use.
func (f *Folder) Secret(name, prefix string) (string, error) {
	path := f.Join(name)
	b, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(b))) > len(prefix) {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read secret: %w", err)
	}
	secret := prefix + strings.ToLower(rand.Text())
	// Durable, because what was sealed with it would be lost without.
	if err := certificate.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep secret: %w", err)
	}
	return secret, nil
}

// private refuses a folder that others could put files into: whoever may
// replace the token or the socket owns the server.
func private(path string, info os.FileInfo) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(s.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s must be a folder of this user that nobody else may write to: chmod 700 it, or give another one with --data", path)
	}
	return nil
}

// Socket returns a path for a unix socket: in the folder, or, where the
// folder's name is too long for a socket address, in a private folder below
// the system's one for temporary files.
func (f *Folder) Socket(name string) (string, error) {
	path := f.Join(name)
	if len(path) < 100 {
		return path, nil
	}
	sum := sha256.Sum256([]byte(path))
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("rondo-%d-%s", os.Getuid(), hex.EncodeToString(sum[:8])))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make folder for socket: %w", err)
	}
	info, err := os.Lstat(dir)
	if err == nil {
		err = private(dir, info)
	}
	if err != nil {
		return "", fmt.Errorf("make folder for socket: %w", err)
	}
	return filepath.Join(dir, name), nil
}
