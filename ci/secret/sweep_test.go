package secret_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// canary is a value that must be nowhere.
const canary = "canary/k3Yq+8vWZ7tRmXc2LdN5pJhG9sFbA4uE6"

// forms are the ways in which a canary could show itself.
func forms(secret string) []string {
	out := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for shift := range 3 { // what stands before it moves it within base64
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := e.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
			out = append(out, text[4:len(text)-4])
		}
	}
	return out
}

// faulty fails the call of a number.
type faulty struct {
	db          ci.Docs
	fail, calls int
}

var errDisk = errors.New("disk gone")

func (f *faulty) fault() error {
	if f.calls++; f.calls-1 == f.fail {
		return errDisk
	}
	return nil
}

func (f *faulty) Doc(ctx context.Context, kind, id string) (ci.Doc, error) {
	if err := f.fault(); err != nil {
		return ci.Doc{}, err
	}
	return f.db.Doc(ctx, kind, id)
}

func (f *faulty) DocNamed(ctx context.Context, kind, scope, name string) (ci.Doc, error) {
	if err := f.fault(); err != nil {
		return ci.Doc{}, err
	}
	return f.db.DocNamed(ctx, kind, scope, name)
}

func (f *faulty) Docs(ctx context.Context, q ci.DocQuery) iter.Seq2[ci.Doc, error] {
	if err := f.fault(); err != nil {
		return func(yield func(ci.Doc, error) bool) { yield(ci.Doc{}, err) }
	}
	return f.db.Docs(ctx, q)
}

func (f *faulty) DueDocs(ctx context.Context, kind string, now time.Time, limit int) iter.Seq2[ci.Doc, error] {
	return f.db.DueDocs(ctx, kind, now, limit)
}

func (f *faulty) WriteDocs(ctx context.Context, c ...ci.DocChange) ([]ci.Doc, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	return f.db.WriteDocs(ctx, c...)
}

// TestSEC02_CanarySweep does everything there is to do, with every call to the
// database, the keeper, the record and the code host failing in turn, and looks
// for the secrets in errors, replies, the record, and the bytes of the database.
func TestSEC02_CanarySweep(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	db, err := sqldb.Open(ctx, filepath.Join(dir, "rondo.db"), sqldb.Config{Volatile: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	f := &faulty{db: db, fail: -1}
	w := newWorldOver(t, f)
	private, _ := made(t, "-t", "ed25519", "-N", "")
	locked, _ := made(t, "-t", "ed25519", "-N", "passphrase")
	// The private half begins in the fourth line of OpenSSH's form.
	secrets := []string{canary, strings.Split(private, "\n")[4][4:40], strings.Split(locked, "\n")[4][4:40]}

	var seen bytes.Buffer // all that people could see
	see := func(v any, err error) error {
		text, jsonErr := json.Marshal(v)
		require.NoError(t, jsonErr)
		fmt.Fprintf(&seen, "%s\n%+v\n%v\n", text, v, err)
		return err
	}
	prod := w.context("prod", "A", canary)
	of, project := ci.Holder{Context: prod.ID}, ci.Holder{Project: shop.ID}
	w.set(project, "P", "x"+canary)
	acts := map[string]func() error{
		"set":      func() error { return see(w.SetVariable(ctx, of, "A", canary+"x", admin)) },
		"new":      func() error { return see(w.SetVariable(ctx, of, ci.NewID(), canary, admin)) },
		"project":  func() error { return see(w.SetVariable(ctx, project, "P", "xx"+canary, admin)) },
		"bad name": func() error { return see(w.SetVariable(ctx, of, "1-", canary, admin)) },
		"NUL":      func() error { return see(w.SetVariable(ctx, of, "N", canary+"\x00", admin)) },
		"too long": func() error { return see(w.SetVariable(ctx, of, "N", strings.Repeat(canary, 1000), admin)) },
		"denied":   func() error { return see(w.SetVariable(ctx, of, "N", canary, mallory)) },
		"unset":    func() error { return see(nil, w.DeleteVariable(ctx, of, "N", admin)) },
		"list":     func() error { return see(w.Variables(ctx, of)) },
		"contexts": func() error { return see(w.Contexts(ctx, acme)) },
		"create":   func() error { return see(w.CreateContext(ctx, acme, "prod", admin)) },
		"restrict": func() error { return see(w.Restrict(ctx, prod.ID, ci.RestrictGroup, "deployers", admin)) },
		"explain":  func() error { return see(w.Explain(ctx, ask(bob, "prod"))) },
		"resolve": func() error {
			vars, keys, err := w.Resolve(ctx, ask(alice, "prod"))
			if err != nil {
				require.Empty(t, vars)
				require.Empty(t, keys)
			}
			return see(nil, err)
		},
		"add key":    func() error { return see(w.AddKey(ctx, shop.ID, "", private, admin)) },
		"locked key": func() error { return see(w.AddKey(ctx, shop.ID, "", locked, admin)) },
		"half a key": func() error { return see(w.AddKey(ctx, shop.ID, "", private[:150], admin)) },
		"create key": func() error { return see(w.CreateKey(ctx, shop.ID, ci.KeyDeploy, admin)) },
		"keys":       func() error { return see(w.Keys(ctx, shop.ID)) },
		"no key":     func() error { return see(nil, w.DeleteKey(ctx, shop.ID, canary[:3], admin)) },
	}
	boom := errors.New("boom")
	for name, act := range acts {
		for _, what := range []string{"note", "may", "groups", "admin", "project", "codehost"} {
			w.broken[what] = boom
			_ = act()
			delete(w.broken, what)
		}
		w.keeper.Fault = func(string) error { return boom }
		_ = act()
		w.keeper.Fault = nil
		for n := 0; ; n++ {
			f.fail, f.calls = n, 0
			err := act()
			if f.calls <= n {
				break
			}
			require.ErrorIs(t, err, errDisk, "%s, call %d", name, n)
			require.Less(t, n, 60)
		}
		f.fail = -1
	}
	fmt.Fprintf(&seen, "%+v", w.notes)
	for _, kind := range []string{"context", "context-name", "context-org", "context-variable", "context-restriction", "project-variable", "project-key", "project-keys"} {
		for d, err := range db.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
			require.NoError(t, err)
			fmt.Fprintf(&seen, "%+v %s\n", d, d.Body)
		}
	}
	require.True(t, bytes.Contains(seen.Bytes(), []byte("xxxxuE6x")), "it has seen something")
	look(t, secrets, "what people see", seen.Bytes())

	vars, keys, err := w.Resolve(ctx, ask(alice, "prod"))
	require.NoError(t, err)
	for _, s := range secrets[:2] {
		require.Contains(t, fmt.Sprint(vars, keys), s, "the job gets them")
	}
	sweepFiles(t, dir, secrets) // with its write-ahead log
	require.NoError(t, db.Close())
	sweepFiles(t, dir, secrets)
}

func sweepFiles(t *testing.T, dir string, secrets []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		look(t, secrets, filepath.Base(p), b)
		return err
	}))
}

func look(t *testing.T, secrets []string, where string, in []byte) {
	t.Helper()
	for _, s := range secrets {
		for _, form := range forms(s) {
			require.False(t, bytes.Contains(in, []byte(form)), "%s holds %s", where, form)
		}
	}
}

// TestSEC02_BoundToItsPlace proves that what is sealed does not open when
// somebody moves it in the database, and that an error never is a value.
func TestSEC02_BoundToItsPlace(t *testing.T) {
	w := newWorld(t)
	w.set(ci.Holder{Project: shop.ID}, "MINE", "of shop")
	w.set(ci.Holder{Project: tools.ID}, "THEIRS", canary)
	c := w.context("prod", "A", canary)
	doc := func(kind, scope, name string) ci.Doc {
		d, err := w.db.DocNamed(w.ctx, kind, scope, name)
		require.NoError(t, err)
		return d
	}
	mine := doc("project-variable", "p-shop", "MINE")
	refuses := func(d ci.Doc) {
		t.Helper()
		d.Version, d.Updated = ci.AnyVersion, time.Time{}
		_, err := w.db.WriteDocs(w.ctx, ci.DocChange{Doc: d})
		require.NoError(t, err)
		vars, _, err := w.Resolve(w.ctx, ask(bob))
		require.Error(t, err)
		require.NotErrorIs(t, err, ci.ErrDenied)
		require.Empty(t, vars)
		require.NotContains(t, err.Error(), canary)
	}
	for _, from := range []ci.Doc{doc("project-variable", "p-tools", "THEIRS"), doc("context-variable", string(c.ID), "A")} {
		stolen := mine
		stolen.Sealed = from.Sealed
		refuses(stolen)
	}
	renamed := mine
	renamed.Name = "RENAMED"
	refuses(renamed)
	bare := mine
	bare.Sealed = ""
	refuses(bare)

	// An old value does not come back, of this variable or of one before it.
	w = newWorld(t)
	w.set(ci.Holder{Project: shop.ID}, "MINE", "old")
	older := doc("project-variable", "p-shop", "MINE")
	require.NoError(t, w.DeleteVariable(w.ctx, ci.Holder{Project: shop.ID}, "MINE", admin))
	w.set(ci.Holder{Project: shop.ID}, "MINE", "old too")
	old := doc("project-variable", "p-shop", "MINE")
	w.set(ci.Holder{Project: shop.ID}, "MINE", "new")
	for _, from := range []ci.Doc{old, older} {
		replayed := doc("project-variable", "p-shop", "MINE")
		replayed.Sealed = from.Sealed
		refuses(replayed)
	}
}
