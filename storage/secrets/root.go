package secrets

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/rondo-ci/rondo/ci"
)

// A Root is what the file of a [Keyset] is encrypted with: a passphrase or a
// key file. It reads its secret when it is needed and keeps none.
type Root struct {
	kind string // rootPassphrase or rootKey
	path string // "" if it is no file
	read func() ([]byte, error)
}

// The kinds of roots, as they stand in the file of a keyset.
const (
	rootPassphrase = "passphrase"
	rootKey        = "key"
)

// minPassphrase is the length in bytes of the shortest passphrase that a
// keyset is made with; maxPassphrase bounds what is read.
const (
	minPassphrase = 12
	maxPassphrase = 4 << 10
)

// String says what kind of root it is, and where.
func (r Root) String() string { return strings.TrimSpace(r.kind + " " + r.path) }

// GoString is as String.
func (r Root) GoString() string { return r.String() }

// Passphrase returns the root of a passphrase that read returns, without the
// white space at its ends. What read returns is overwritten.
func Passphrase(read func() ([]byte, error)) Root { return Root{kind: rootPassphrase, read: read} }

// PassphraseEnv returns the root of a passphrase in an environment variable.
// Whoever may read /proc of the process can read it; a file is better.
func PassphraseEnv(name string) Root {
	return Passphrase(func() ([]byte, error) {
		v := os.Getenv(name)
		if v == "" {
			return nil, fmt.Errorf("environment variable %s is not set", name)
		}
		return []byte(v), nil
	})
}

// PassphraseFile returns the root of a passphrase in a file that nobody but
// its owner may read and that lies outside the data folder.
func PassphraseFile(path string) Root {
	return Root{rootPassphrase, path, func() ([]byte, error) { return readPrivate(path, maxPassphrase) }}
}

// KeyFile returns the root of a file of 32 random bytes that nobody but its
// owner may read and that lies outside the data folder. [NewKeyFile] makes one.
func KeyFile(path string) Root {
	return Root{rootKey, path, func() ([]byte, error) {
		b, err := readPrivate(path, dataKeySize)
		if err == nil && len(b) != dataKeySize {
			err = fmt.Errorf("%s has not %d bytes: %w", path, dataKeySize, ErrWrongRoot)
		}
		return b, err
	}}
}

// NewKeyFile makes a file for [KeyFile], in a folder that exists. An existing
// file is [os.ErrExist].
func NewKeyFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	key := make([]byte, dataKeySize)
	defer clear(key)
	_, _ = rand.Read(key)
	_, err = f.Write(key)
	if err := errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	return nil
}

// readPrivate reads a small file that others must not be able to read.
func readPrivate(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file: %w", path, ci.ErrInvalid)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s may be read or written by others than its owner: chmod 600 it: %w", path, ci.ErrInvalid)
	case info.Size() > most:
		return nil, fmt.Errorf("%s has more than %d bytes: %w", path, most, ci.ErrInvalid)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// apart refuses a root that lies within the data folder: whoever has a copy of
// the data would have the key too.
func (r Root) apart(data string) error {
	if r.path == "" || data == "" {
		return nil
	}
	inside, err := resolve(r.path)
	if err != nil {
		return err
	}
	outside, err := resolve(data)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(outside, inside)
	if err != nil {
		return err
	}
	if rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return fmt.Errorf("%s lies in the data folder %s, so a copy of the data would have its key: keep it elsewhere: %w", r.path, data, ci.ErrInvalid)
	}
	return nil
}

// resolve returns where a path leads.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// A Cost is what it takes to try a passphrase, see RFC 9106. The zero Cost is
// its recommendation for servers with little memory: 3 passes over 64 MiB by 4
// threads.
type Cost struct {
	Passes  uint32 `json:"passes"`
	Memory  uint32 `json:"memory"` // KiB
	Threads uint8  `json:"threads"`
}

func (c Cost) orDefault() Cost {
	if c == (Cost{}) {
		return Cost{Passes: 3, Memory: 64 << 10, Threads: 4}
	}
	return c
}

// sane reports whether the cost can be paid: a file must not make us try more.
func (c Cost) sane() bool {
	return c.Passes >= 1 && c.Passes <= 100 && c.Memory >= 8 && c.Memory <= 4<<20 && c.Threads >= 1
}

// derive returns the 32 bytes that the salt and the root give. fresh refuses a
// passphrase that is too short to begin with.
func (r Root) derive(salt []byte, c Cost, fresh bool) ([]byte, error) {
	if r.read == nil {
		return nil, fmt.Errorf("a passphrase or a key file is needed: %w", ci.ErrInvalid)
	}
	secret, err := r.read()
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", r.kind, err)
	}
	defer clear(secret)
	if r.kind == rootKey {
		return bytes.Clone(secret), nil
	}
	pass := bytes.TrimSpace(secret)
	if fresh && len(pass) < minPassphrase {
		return nil, fmt.Errorf("the passphrase has less than %d characters: %w", minPassphrase, ci.ErrInvalid)
	}
	return argon2.IDKey(pass, salt, c.Passes, c.Memory, c.Threads, dataKeySize), nil
}
