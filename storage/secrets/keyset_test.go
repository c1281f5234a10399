package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/secrets"
	"github.com/rondo-ci/rondo/storage/secrets/secretstest"
)

// cheap is for tests only.
var cheap = secrets.Cost{Passes: 1, Memory: 8, Threads: 1}

func passphrase(s string) secrets.Root {
	return secrets.Passphrase(func() ([]byte, error) { return []byte(s), nil })
}

func newKeyset(t testing.TB) *secrets.Keyset {
	k, err := secrets.CreateKeyset(filepath.Join(t.TempDir(), "keyset.json"), passphrase("correct horse battery"), secrets.KeysetConfig{Cost: cheap})
	require.NoError(t, err)
	return k
}

func TestSEC02_Keyset(t *testing.T) {
	secretstest.TestBackend(t, func(t *testing.T) secrets.Backend { return newKeyset(t) })
}

func TestKeysetOpens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	_, err := secrets.OpenKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = secrets.CreateKeyset(path, passphrase("too short"), secrets.KeysetConfig{Cost: cheap})
	require.ErrorIs(t, err, ci.ErrInvalid)
	_, err = secrets.CreateKeyset(path, secrets.Root{}, secrets.KeysetConfig{Cost: cheap})
	require.ErrorIs(t, err, ci.ErrInvalid)
	k, err := secrets.CreateKeyset(path, passphrase("correct horse battery\n"), secrets.KeysetConfig{}) // at its real cost
	require.NoError(t, err)
	_, err = secrets.CreateKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{Cost: cheap})
	require.ErrorIs(t, err, os.ErrExist)
	w, err := k.Wrap(t.Context(), make([]byte, 32))
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	again, err := secrets.OpenKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{})
	require.NoError(t, err)
	keys, err := again.Unwrap(t.Context(), w)
	require.NoError(t, err)
	require.Equal(t, make([]byte, 32), keys[0])
	_, err = secrets.OpenKeyset(path, passphrase("incorrect horse battery"), secrets.KeysetConfig{})
	require.ErrorIs(t, err, secrets.ErrWrongRoot)
	require.NotContains(t, err.Error(), "incorrect")
	t.Setenv("RONDO_TEST_PASSPHRASE", "correct horse battery")
	_, err = secrets.OpenKeyset(path, secrets.PassphraseEnv("RONDO_TEST_PASSPHRASE"), secrets.KeysetConfig{})
	require.NoError(t, err)
	_, err = secrets.OpenKeyset(path, secrets.PassphraseEnv("RONDO_TEST_NONE"), secrets.KeysetConfig{})
	require.ErrorContains(t, err, "RONDO_TEST_NONE is not set")
}

// TestKeysetDamage flips each byte: that is damage, never a wrong passphrase,
// and never a key.
func TestKeysetDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	_, err := secrets.CreateKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{Cost: cheap})
	require.NoError(t, err)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	check := func(bad []byte) {
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		_, err := secrets.OpenKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{})
		if err == nil { // what says the same
			require.Equal(t, meaning(good), meaning(bad))
			return
		}
		require.ErrorIs(t, err, secrets.ErrDamaged)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		check(bad)
		check(good[:i])
	}
	check(nil)
	require.NoError(t, os.WriteFile(path, good, 0o644))
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = secrets.OpenKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{})
	require.ErrorContains(t, err, "chmod 600")
}

// meaning is a keyset file without what may differ: white space, the case of
// the fields' names, and the bits that base64 leaves unused before its end.
func meaning(file []byte) string {
	unused := regexp.MustCompile(`.(=+")`)
	return strings.ToLower(unused.ReplaceAllString(strings.Join(strings.Fields(string(file)), ""), "*$1"))
}

// TestRootIsApart refuses a root in the data folder, by whatever way.
func TestRootIsApart(t *testing.T) {
	data, etc := t.TempDir(), t.TempDir()
	inside := filepath.Join(data, "deep", "root.key")
	require.NoError(t, os.Mkdir(filepath.Dir(inside), 0o700))
	require.NoError(t, secrets.NewKeyFile(inside))
	require.ErrorIs(t, secrets.NewKeyFile(inside), os.ErrExist)
	link := filepath.Join(etc, "link")
	require.NoError(t, os.Symlink(inside, link))
	linked := filepath.Join(etc, "data")
	require.NoError(t, os.Symlink(data, linked))
	keyset := filepath.Join(data, "keyset.json")
	for _, c := range []struct{ root, data string }{{inside, data}, {link, data}, {inside, linked}, {link, data + "/./"}} {
		for _, root := range []secrets.Root{secrets.KeyFile(c.root), secrets.PassphraseFile(c.root)} {
			_, err := secrets.CreateKeyset(keyset, root, secrets.KeysetConfig{Data: c.data, Cost: cheap})
			require.ErrorContains(t, err, "lies in the data folder", root.String())
			_, err = secrets.OpenKeyset(keyset, root, secrets.KeysetConfig{Data: c.data})
			require.ErrorContains(t, err, "lies in the data folder")
		}
	}
	outside := filepath.Join(etc, "root.key")
	require.NoError(t, secrets.NewKeyFile(outside))
	k, err := secrets.CreateKeyset(keyset, secrets.KeyFile(outside), secrets.KeysetConfig{Data: data})
	require.NoError(t, err)
	require.ErrorContains(t, k.ChangeRoot(t.Context(), secrets.KeyFile(inside)), "lies in the data folder")
	_, err = secrets.OpenKeyset(keyset, passphrase("correct horse battery"), secrets.KeysetConfig{Data: data})
	require.ErrorIs(t, err, secrets.ErrWrongRoot)
	require.NoError(t, os.Chmod(outside, 0o640))
	_, err = secrets.OpenKeyset(keyset, secrets.KeyFile(outside), secrets.KeysetConfig{Data: data})
	require.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.WriteFile(outside, []byte("short"), 0o600))
	require.NoError(t, os.Chmod(outside, 0o600))
	_, err = secrets.OpenKeyset(keyset, secrets.KeyFile(outside), secrets.KeysetConfig{Data: data})
	require.ErrorIs(t, err, secrets.ErrWrongRoot)

	file, err := os.ReadFile(keyset)
	require.NoError(t, err)
	key, err := os.ReadFile(inside)
	require.NoError(t, err)
	for _, form := range secretstest.Forms(key) {
		require.NotContains(t, string(file), form)
	}
}

func TestChangeRoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	first, second := passphrase("the first passphrase"), passphrase("the second passphrase")
	now := "the first passphrase"
	k, err := secrets.CreateKeyset(path, first, secrets.KeysetConfig{Cost: cheap})
	require.NoError(t, err)
	clock := time.Now()
	other, err := secrets.OpenKeyset(path, secrets.Passphrase(func() ([]byte, error) { return []byte(now), nil }),
		secrets.KeysetConfig{Cost: cheap, Now: func() time.Time { return clock }})
	require.NoError(t, err)
	w, err := k.Wrap(t.Context(), make([]byte, 32))
	require.NoError(t, err)
	require.NoError(t, k.ChangeRoot(t.Context(), second))
	_, err = k.Unwrap(t.Context(), w)
	require.NoError(t, err)
	name, err := k.Rotate(t.Context())
	require.NoError(t, err)

	_, err = other.Unwrap(t.Context(), w)
	require.NoError(t, err, "another process reads on")
	_, err = other.Wrap(t.Context(), make([]byte, 32))
	require.ErrorIs(t, err, secrets.ErrWrongRoot, "until it has to look")
	now = "the second passphrase"
	clock = clock.Add(time.Minute)
	primary, err := other.Primary(t.Context())
	require.NoError(t, err)
	require.Equal(t, name, primary)

	_, err = secrets.OpenKeyset(path, first, secrets.KeysetConfig{})
	require.ErrorIs(t, err, secrets.ErrWrongRoot)
	_, err = secrets.OpenKeyset(path, second, secrets.KeysetConfig{})
	require.NoError(t, err)
}

// TestKeyStates goes through the life of a key.
func TestKeyStates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	clock := time.Now()
	k, err := secrets.CreateKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{Cost: cheap, Now: func() time.Time { return clock }})
	require.NoError(t, err)
	ctx := t.Context()
	w, err := k.Wrap(ctx, make([]byte, 32))
	require.NoError(t, err)
	uses := map[secrets.Use]int{{Backend: "local", Key: w.Key}: 3}
	count := func(context.Context) (map[secrets.Use]int, error) { return uses, nil }
	require.ErrorIs(t, k.Disable(ctx, w.Key), ci.ErrConflict, "it is primary")
	require.ErrorIs(t, k.Disable(ctx, "nothing"), ci.ErrNotFound)
	_, err = k.Rotate(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, k.Destroy(ctx, w.Key, count), ci.ErrConflict, "it is not disabled")
	require.NoError(t, k.Disable(ctx, w.Key))
	_, err = k.Unwrap(ctx, w)
	require.ErrorIs(t, err, secrets.ErrKeyDisabled)
	require.NoError(t, k.Enable(ctx, w.Key))
	_, err = k.Unwrap(ctx, w)
	require.NoError(t, err)
	require.NoError(t, k.Disable(ctx, w.Key))
	require.ErrorContains(t, k.Destroy(ctx, w.Key, count), "primary until lately")
	clock = clock.Add(2 * time.Hour)
	require.ErrorContains(t, k.Destroy(ctx, w.Key, count), "3 documents need key")
	lost := errors.New("database is gone")
	require.ErrorIs(t, k.Destroy(ctx, w.Key, func(context.Context) (map[secrets.Use]int, error) { return nil, lost }), lost)
	clear(uses)
	require.NoError(t, k.Destroy(ctx, w.Key, count))
	again, err := secrets.OpenKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{})
	require.NoError(t, err)
	_, err = again.Unwrap(ctx, w)
	require.ErrorIs(t, err, secrets.ErrNoKey)
	keys, err := again.Keys(ctx)
	require.NoError(t, err)
	require.Equal(t, secrets.KeyDestroyed, keys[0].State)
	require.Equal(t, secrets.KeyPrimary, keys[1].State)
}

// TestDisabledKeyIsSeen has a keeper whose data keys are under a key that is
// disabled while it works.
func TestDisabledKeyIsSeen(t *testing.T) {
	set := newKeyset(t)
	k := newKeeper(t, set)
	doc, err := k.SealDoc(t.Context(), ci.Doc{Kind: kind, ID: "1"}, []byte("value"))
	require.NoError(t, err)
	_, old, err := secrets.SealedBy(doc.Sealed)
	require.NoError(t, err)
	_, err = set.Rotate(t.Context()) // behind the keeper's back
	require.NoError(t, err)
	require.NoError(t, set.Disable(t.Context(), old))
	_, err = k.OpenDoc(t.Context(), doc)
	require.NoError(t, err, "remembered")
	k.Forget()
	_, err = k.OpenDoc(t.Context(), doc)
	require.ErrorIs(t, err, secrets.ErrKeyDisabled)
	require.ErrorIs(t, err, secrets.ErrUnreadable)
	doc, err = k.SealDoc(t.Context(), doc, []byte("value"))
	require.NoError(t, err)
	_, err = k.OpenDoc(t.Context(), doc)
	require.NoError(t, err)
}

// TestTwoProcesses share a file.
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	a, err := secrets.CreateKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{Cost: cheap})
	require.NoError(t, err)
	b, err := secrets.OpenKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{Cost: cheap})
	require.NoError(t, err)
	for i := range 5 {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		name, err := from.Rotate(t.Context())
		require.NoError(t, err)
		w, err := from.Wrap(t.Context(), make([]byte, 32))
		require.NoError(t, err)
		require.Equal(t, name, w.Key)
		_, err = to.Unwrap(t.Context(), w)
		require.NoError(t, err)
		primary, err := to.Primary(t.Context())
		require.NoError(t, err)
		require.Equal(t, name, primary)
	}
	keys, err := a.Keys(t.Context())
	require.NoError(t, err)
	require.Len(t, keys, 6)
}

// TestKeysetAfterACrash finds what an interrupted write leaves, and another
// process in the middle of one.
func TestKeysetAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	k, err := secrets.CreateKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{Cost: cheap})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".new", []byte("half of a keys"), 0o600))
	_, err = k.Rotate(t.Context())
	require.NoError(t, err)
	require.NoFileExists(t, path+".new")

	lock, err := os.Open(path + ".lock")
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	_, err = k.Rotate(t.Context())
	require.ErrorIs(t, err, ci.ErrConflict)
	require.NoError(t, lock.Close())

	require.NoError(t, os.Mkdir(path+".new", 0o700)) // no write goes through
	require.NoError(t, os.WriteFile(filepath.Join(path+".new", "x"), nil, 0o600))
	before, err := k.Primary(t.Context())
	require.NoError(t, err)
	_, err = k.Rotate(t.Context())
	require.Error(t, err)
	after, err := k.Primary(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after, "what failed has not happened")
}

func FuzzKeyset(f *testing.F) {
	path := filepath.Join(f.TempDir(), "keyset.json")
	_, err := secrets.CreateKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{Cost: cheap})
	require.NoError(f, err)
	good, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte(`{"format":"rondo-keyset-1","argon2id":{"passes":0}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "keyset.json")
		require.NoError(t, os.WriteFile(path, b, 0o600))
		_, err := secrets.OpenKeyset(path, passphrase("correct horse battery"), secrets.KeysetConfig{})
		if err != nil && strings.Contains(fmt.Sprint(err), "horse") {
			t.Fatal("the passphrase is in the error")
		}
	})
}
