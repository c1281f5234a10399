package secrets_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	gosecrets "gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
	"github.com/rondo-ci/rondo/storage/secrets"
	"github.com/rondo-ci/rondo/storage/secrets/secretstest"
)

func gocloud(t testing.TB) *gosecrets.Keeper {
	key, err := localsecrets.NewRandomKey()
	require.NoError(t, err)
	k := localsecrets.NewKeeper(key)
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func TestSEC02_Portable(t *testing.T) {
	secretstest.TestBackend(t, func(t *testing.T) secrets.Backend { return secrets.Portable("cloud", "k1", gocloud(t)) })
}

// counting counts what a backend is asked.
type counting struct {
	secrets.Backend
	wraps, unwraps atomic.Int64
	fail           atomic.Pointer[error]
}

func (c *counting) Wrap(ctx context.Context, key []byte) (secrets.Wrapped, error) {
	c.wraps.Add(1)
	return c.Backend.Wrap(ctx, key)
}

func (c *counting) Unwrap(ctx context.Context, w ...secrets.Wrapped) ([][]byte, error) {
	c.unwraps.Add(1)
	if err := c.fail.Load(); err != nil {
		return nil, *err
	}
	return c.Backend.Unwrap(ctx, w...)
}

const kind = "context-variable"

func newKeeper(t testing.TB, b secrets.Backend, others ...secrets.Backend) *secrets.Keeper {
	k, err := secrets.New("install", b, secrets.Config{Kinds: []string{kind}, Others: others})
	require.NoError(t, err)
	return k
}

func TestSEC02_BoundToItsPlace(t *testing.T) {
	k := newKeeper(t, newKeyset(t))
	doc, err := k.SealDoc(t.Context(), ci.Doc{Kind: kind, Scope: "ab", ID: "c", Name: "d"}, []byte("value"))
	require.NoError(t, err)
	plain, err := k.OpenDoc(t.Context(), doc)
	require.NoError(t, err)
	require.Equal(t, "value", string(plain))
	for what, change := range map[string]func(*ci.Doc){
		"kind":  func(d *ci.Doc) { d.Kind = "project-variable" },
		"scope": func(d *ci.Doc) { d.Scope = "x" },
		"id":    func(d *ci.Doc) { d.ID = "x" },
		"name":  func(d *ci.Doc) { d.Name = "" },
		"parts": func(d *ci.Doc) { d.Scope, d.ID = "a", "bc" },
	} {
		moved := doc
		change(&moved)
		_, err := k.OpenDoc(t.Context(), moved)
		require.ErrorIs(t, err, secrets.ErrTampered, what)
		require.ErrorIs(t, err, secrets.ErrUnreadable, what)
	}
	other, err := secrets.New("another install", newKeyset(t), secrets.Config{Kinds: []string{kind}})
	require.NoError(t, err)
	_, err = other.OpenDoc(t.Context(), doc)
	require.ErrorIs(t, err, secrets.ErrNoKey)
	doc.Body, doc.Version, doc.Due = []byte("{}"), 7, time.Now()
	_, err = k.OpenDoc(t.Context(), doc)
	require.NoError(t, err)
	require.Equal(t, []string{kind, "s", "id", "id"}, secrets.PlaceOf(ci.Doc{Kind: kind, Scope: "s", ID: "id"}))

	_, err = k.SealDoc(t.Context(), ci.Doc{Kind: "unknown", ID: "1"}, nil)
	require.ErrorIs(t, err, ci.ErrInvalid)
	_, err = k.Seal(t.Context(), []string{kind}, make([]byte, secrets.MaxSecret+1))
	require.ErrorIs(t, err, ci.ErrInvalid)
	sealed, err := k.Seal(t.Context(), []string{kind}, make([]byte, secrets.MaxSecret))
	require.NoError(t, err)
	require.LessOrEqual(t, len(sealed), ci.MaxDoc)
}

// TestSEC02_Tampering flips, cuts and grows a text: nothing opens, and all
// errors read the same.
func TestSEC02_Tampering(t *testing.T) {
	k := newKeeper(t, newKeyset(t))
	place := []string{kind, "1"}
	sealed, err := k.Seal(t.Context(), place, []byte("a secret value"))
	require.NoError(t, err)
	texts := map[string]bool{}
	check := func(bad string) {
		plain, err := k.Open(t.Context(), place, bad)
		require.Nil(t, plain)
		require.ErrorIs(t, err, secrets.ErrUnreadable, bad)
		texts[err.Error()] = true
	}
	for i := range len(sealed) {
		for _, bit := range []byte{1, 2, 0x20, 0x80} {
			bad := []byte(sealed)
			bad[i] ^= bit
			check(string(bad))
		}
		check(sealed[:i])
		check(sealed[i:i] + sealed[min(i+1, len(sealed)):])
		check(sealed[:i] + "\n" + sealed[i:])
	}
	for _, bad := range []string{"", ":", ":::", "rondo1:local::", "plain", sealed + "A", sealed + "=", sealed + ":x", "rondo2" + sealed[6:]} {
		check(bad)
	}
	require.Len(t, texts, 1, "outsiders read one text")
}

func FuzzOpen(f *testing.F) {
	k := newKeeper(f, newKeyset(f))
	place := []string{kind, "1"}
	good, err := k.Seal(f.Context(), place, []byte("a secret value"))
	require.NoError(f, err)
	f.Add(good)
	f.Add("rondo1:local:x:AAAA")
	f.Add("vault:v1:AAAA")
	f.Fuzz(func(t *testing.T, sealed string) {
		plain, err := k.Open(t.Context(), place, sealed)
		if sealed != good && (err == nil || plain != nil || !errors.Is(err, secrets.ErrUnreadable)) {
			t.Fatalf("%q opens: %v", sealed, err)
		}
		if _, err := k.Rewrap(t.Context(), sealed); err == nil {
			if b, _, err := secrets.SealedBy(sealed); err != nil || b != "local" {
				t.Fatal("rewrapped what is not sealed")
			}
		}
	})
}

func TestRoundTrips(t *testing.T) {
	k := newKeeper(t, newKeyset(t))
	rapid.Check(t, func(rt *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(rt, "plain")
		place := append([]string{kind}, rapid.SliceOfN(rapid.String(), 0, 4).Draw(rt, "place")...)
		other := append([]string{kind}, rapid.SliceOfN(rapid.String(), 0, 4).Draw(rt, "other")...)
		sealed, err := k.Seal(t.Context(), place, plain)
		require.NoError(rt, err)
		got, err := k.Open(t.Context(), place, sealed)
		require.NoError(rt, err)
		require.True(rt, bytes.Equal(plain, got))
		if fmt.Sprintf("%q", place) != fmt.Sprintf("%q", other) {
			_, err = k.Open(t.Context(), other, sealed)
			require.ErrorIs(rt, err, secrets.ErrTampered)
		}
	})
}

// TestSEC02_NoncesNeverRepeat seals the same 100,000 times.
func TestSEC02_NoncesNeverRepeat(t *testing.T) {
	k := newKeeper(t, newKeyset(t))
	seen := make(map[string]bool, 100_000)
	for range 100_000 {
		sealed, err := k.Seal(t.Context(), []string{kind}, nil)
		require.NoError(t, err)
		raw, err := base64.RawURLEncoding.DecodeString(sealed[strings.LastIndexByte(sealed, ':')+1:])
		require.NoError(t, err)
		nonce := raw[len(raw)-16-12:][:12] // an empty secret: nonce and tag
		if seen[string(nonce)] {
			t.Fatal("a nonce came twice")
		}
		seen[string(nonce)] = true
	}
}

func TestFewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &counting{Backend: newKeyset(t)}
		var docs []ci.Doc
		for i := range 100 { // each by another keeper, as after restarts
			d, err := newKeeper(t, b).SealDoc(t.Context(), ci.Doc{Kind: kind, ID: fmt.Sprint(i)}, fmt.Append(nil, "value ", i))
			require.NoError(t, err)
			docs = append(docs, d)
		}
		b.unwraps.Store(0)
		k := newKeeper(t, b)
		for range 3 {
			plain, err := k.OpenDocs(t.Context(), docs)
			require.NoError(t, err)
			for i := range docs {
				require.Equal(t, fmt.Sprint("value ", i), string(plain[i]))
			}
		}
		require.EqualValues(t, 1, b.unwraps.Load(), "all data keys at once")

		time.Sleep(5*time.Minute + time.Second)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := k.OpenDoc(t.Context(), docs[0]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 2, b.unwraps.Load(), "one asks for fifty, after five minutes anew")

		b.wraps.Store(0)
		_, err := k.Seal(t.Context(), []string{kind}, nil)
		require.NoError(t, err)
		require.Zero(t, b.wraps.Load(), "it takes a data key that it has met")
		time.Sleep(31 * 24 * time.Hour)
		for range 1000 {
			_, err := k.Seal(t.Context(), []string{kind}, nil)
			require.NoError(t, err)
		}
		require.EqualValues(t, 1, b.wraps.Load(), "one data key")
		time.Sleep(31 * 24 * time.Hour)
		_, err = k.Seal(t.Context(), []string{kind}, nil)
		require.NoError(t, err)
		require.EqualValues(t, 2, b.wraps.Load(), "a new one each month")
		time.Sleep(time.Hour)
	})
}

// TestRestarts has a variable set after each start: all come under one data
// key, until the key of the backend is another.
func TestRestarts(t *testing.T) {
	b := &counting{Backend: newKeyset(t)}
	first, err := newKeeper(t, b).Seal(t.Context(), []string{kind}, nil)
	require.NoError(t, err)
	for range 10 {
		k := newKeeper(t, b)
		_, err = k.Open(t.Context(), []string{kind}, first)
		require.NoError(t, err)
		_, err = k.Seal(t.Context(), []string{kind}, nil)
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, b.wraps.Load())
	k := newKeeper(t, b)
	_, err = b.Rotate(t.Context())
	require.NoError(t, err)
	_, err = k.Open(t.Context(), []string{kind}, first)
	require.NoError(t, err)
	sealed, err := k.Seal(t.Context(), []string{kind}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, b.wraps.Load())
	primary, err := b.Primary(t.Context())
	require.NoError(t, err)
	_, key, err := secrets.SealedBy(sealed)
	require.NoError(t, err)
	require.Equal(t, primary, key)
}

func TestSEC02_SuiteOfWhoAsks(t *testing.T) {
	secrettest.TestKeeper(t, func(t *testing.T) secret.Keeper {
		k, err := secrets.New("install", newKeyset(t), secrets.Config{Kinds: []string{"kind"}})
		require.NoError(t, err)
		return k
	})
}

func TestCacheIsBounded(t *testing.T) {
	b := &counting{Backend: newKeyset(t)}
	var docs []ci.Doc
	for i := range 20 {
		d, err := newKeeper(t, b).SealDoc(t.Context(), ci.Doc{Kind: kind, ID: fmt.Sprint(i)}, nil)
		require.NoError(t, err)
		docs = append(docs, d)
	}
	k, err := secrets.New("install", b, secrets.Config{Kinds: []string{kind}, CacheMax: 5})
	require.NoError(t, err)
	for range 2 {
		b.unwraps.Store(0)
		for _, d := range docs {
			_, err := k.OpenDoc(t.Context(), d)
			require.NoError(t, err)
		}
		require.GreaterOrEqual(t, b.unwraps.Load(), int64(15))
	}
	_, err = k.OpenDocs(t.Context(), docs)
	require.NoError(t, err)
}

// TestBackendFails shows that faults are not taken for damage, are not
// remembered, and that who gives up does not make the others do so.
func TestBackendFails(t *testing.T) {
	b := &counting{Backend: newKeyset(t)}
	doc, err := newKeeper(t, b).SealDoc(t.Context(), ci.Doc{Kind: kind, ID: "1"}, []byte("value"))
	require.NoError(t, err)
	k := newKeeper(t, b)
	for _, fault := range []error{secrets.ErrSealed, secrets.ErrBusy, secrets.ErrRefused, secrets.ErrUnreachable, context.Canceled} {
		b.fail.Store(&fault)
		_, err = k.OpenDoc(t.Context(), doc)
		require.ErrorIs(t, err, fault)
		require.NotErrorIs(t, err, secrets.ErrUnreadable)
		_, err = k.OpenDocs(t.Context(), []ci.Doc{doc})
		require.ErrorIs(t, err, fault)
	}
	b.fail.Store(nil)
	_, err = k.OpenDoc(t.Context(), doc)
	require.NoError(t, err)
}

func TestConfiguration(t *testing.T) {
	b := newKeyset(t)
	for _, c := range []struct {
		install string
		backend secrets.Backend
		cfg     secrets.Config
	}{
		{"", b, secrets.Config{Kinds: []string{kind}}},
		{"i", nil, secrets.Config{Kinds: []string{kind}}},
		{"i", b, secrets.Config{}},
		{"i", b, secrets.Config{Kinds: []string{kind}, Others: []secrets.Backend{newKeyset(t)}}}, // the same name
		{"i", secrets.Portable("a:b", "k", gocloud(t)), secrets.Config{Kinds: []string{kind}}},
	} {
		_, err := secrets.New(c.install, c.backend, c.cfg)
		require.ErrorIs(t, err, ci.ErrInvalid)
	}
	k := newKeeper(t, secrets.Portable("cloud", "bad:key", gocloud(t)))
	_, err := k.Seal(t.Context(), []string{kind}, nil)
	require.ErrorIs(t, err, ci.ErrInvalid)
}

func BenchmarkOpen(b *testing.B) {
	k := newKeeper(b, newKeyset(b))
	sealed, err := k.Seal(b.Context(), []string{kind}, make([]byte, 100))
	require.NoError(b, err)
	for b.Loop() {
		if _, err := k.Open(b.Context(), []string{kind}, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	k := newKeeper(b, newKeyset(b))
	plain := make([]byte, 100)
	for b.Loop() {
		if _, err := k.Seal(b.Context(), []string{kind}, plain); err != nil {
			b.Fatal(err)
		}
	}
}
