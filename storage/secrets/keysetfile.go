package secrets

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// keysetFormat is the first field of the file of a keyset.
const keysetFormat = "rondo-keyset-1"

// A keysetFile is the file of a keyset: JSON, so that people see what it is.
type keysetFile struct {
	Format string `json:"format"`
	Root   string `json:"root"` // kind of root
	Cost   Cost   `json:"argon2id"`
	Salt   []byte `json:"salt"`
	// Check is what only the right root gives. It tells a wrong passphrase
	// from damage.
	Check []byte `json:"check"`
	Keys  []byte `json:"keys"` // sealed JSON of []storedKey, bound to what stands above
	// Sum is the SHA-256 of the file without it: damage is found before a
	// passphrase is blamed.
	Sum string `json:"sum"`
}

// A storedKey is a key of a keyset as it is kept.
type storedKey struct {
	Name    string    `json:"name"`
	State   State     `json:"state"`
	Created time.Time `json:"created,omitzero"`
	Retired time.Time `json:"retired,omitzero"`
	Secret  []byte    `json:"secret,omitempty"` // none once destroyed
}

func (k storedKey) public() Key { return Key{k.Name, k.State, k.Created, k.Retired} }

// A lock is what opens the file: derived from the root, valid for one salt.
type lock struct {
	salt  string
	check []byte
	aead  cipher.AEAD
}

// newLock returns the lock that the root gives for the file.
func newLock(f *keysetFile, r Root, fresh bool) (*lock, error) {
	root, err := r.derive(f.Salt, f.Cost, fresh)
	if err != nil {
		return nil, err
	}
	defer clear(root)
	check, err := hkdf.Key(sha256.New, root, f.Salt, keysetFormat+" check", sha256.Size)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, root, f.Salt, keysetFormat+" keys", dataKeySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := newAEAD(key)
	return &lock{string(f.Salt), check, aead}, err
}

// newKeysetFile returns an empty file for the root, and what opens it.
func newKeysetFile(r Root, c Cost) (*keysetFile, *lock, error) {
	f := &keysetFile{Format: keysetFormat, Root: r.kind, Cost: c, Salt: make([]byte, 16)}
	_, _ = rand.Read(f.Salt)
	l, err := newLock(f, r, true)
	if err != nil {
		return nil, nil, err
	}
	f.Check = l.check
	return f, l, nil
}

// sum returns what Sum should be.
func (f keysetFile) sum() (string, error) {
	f.Sum = ""
	b, err := json.Marshal(f)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// head is what the keys are bound to.
func (f *keysetFile) head() ([]byte, error) {
	return json.Marshal(keysetFile{Format: f.Format, Root: f.Root, Cost: f.Cost, Salt: f.Salt, Check: f.Check})
}

// parseKeyset reads a file and finds damage.
func parseKeyset(b []byte) (*keysetFile, error) {
	var f keysetFile
	if err := json.Unmarshal(b, &f); err != nil || f.Format != keysetFormat {
		return nil, ErrDamaged // the error of a parser may quote what it reads
	}
	if sum, err := f.sum(); err != nil || sum != f.Sum || !f.Cost.sane() || len(f.Salt) < 16 {
		return nil, ErrDamaged
	}
	return &f, nil
}

// open returns the keys. What it returns is to be overwritten after use.
func (f *keysetFile) open(l *lock) ([]storedKey, error) {
	if !hmac.Equal(f.Check, l.check) {
		return nil, ErrWrongRoot
	}
	head, err := f.head()
	if err != nil {
		return nil, err
	}
	plain, err := l.aead.Open(nil, nil, f.Keys, head)
	if err != nil {
		return nil, ErrDamaged
	}
	defer clear(plain)
	var keys []storedKey
	if json.Unmarshal(plain, &keys) != nil {
		return nil, ErrDamaged
	}
	return keys, nil
}

// seal puts the keys into the file and returns its bytes.
func (f *keysetFile) seal(l *lock, keys []storedKey) ([]byte, error) {
	plain, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	head, err := f.head()
	if err != nil {
		return nil, err
	}
	f.Keys = l.aead.Seal(nil, nil, plain, head)
	if f.Sum, err = f.sum(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(f, "", "  ")
	return append(b, '\n'), err
}

// readKeyset reads a file that may be anything.
func readKeyset(path string) (*keysetFile, error) {
	b, err := readPrivate(path, 1<<20)
	if err != nil {
		return nil, err
	}
	return parseKeyset(b)
}

// writeKeyset puts a file in place of the one before, or leaves that.
func writeKeyset(path string, b []byte) (err error) {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// locked calls change while no other process changes the keyset.
func locked(path string, change func() error) error {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process changes it: %w", ci.ErrConflict)
	}
	return change()
}
