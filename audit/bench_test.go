package audit_test

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/bucket"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// What an event adds to the transaction that carries it.
func BenchmarkAppend(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprint("event=", with), func(b *testing.B) {
			db, err := sqldb.Open(b.Context(), filepath.Join(b.TempDir(), "a.db"), sqldb.Config{})
			require.NoError(b, err)
			defer db.Close()
			book := audit.New(db, &audit.Memory{}, newSigner(b), audit.Config{})
			for i := range b.N {
				changes := []ci.DocChange{{Doc: ci.Doc{Kind: "deed", ID: fmt.Sprint(i), Body: make([]byte, 200)}}, {Doc: ci.Doc{Kind: "lock", ID: "l", Version: ci.AnyVersion}}}
				if with {
					more, err := book.Draft(b.Context(), act(i))
					require.NoError(b, err)
					changes = append(changes, more...)
				}
				if _, err := db.WriteDocs(b.Context(), changes...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What it adds to an act of a chapter, a variable that is set.
func BenchmarkAppendToVariable(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprint("event=", with), func(b *testing.B) {
			db, err := sqldb.Open(b.Context(), filepath.Join(b.TempDir(), "a.db"), sqldb.Config{})
			require.NoError(b, err)
			defer db.Close()
			var cfg secret.Config
			if with {
				cfg.Note = audit.New(db, &audit.Memory{}, newSigner(b), audit.Config{}).Draft
			}
			safe := secret.New(db, secrettest.New(), cfg)
			c, err := safe.CreateContext(b.Context(), "gh/acme", "prod", alice)
			require.NoError(b, err)
			for b.Loop() {
				if _, err := safe.SetVariable(b.Context(), ci.Holder{Context: c.ID}, "KEY", "value", alice); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An instant is when the first byte was written.
type instant struct {
	n     int64
	first time.Time
}

func (i *instant) Write(p []byte) (int, error) {
	if i.n == 0 {
		i.first = time.Now()
	}
	i.n += int64(len(p))
	return len(p), nil
}

// BenchmarkMillion says what a million events cost: go test -bench Million
// -benchtime 1x ./audit. They are in files of 64 MB in a folder.
func BenchmarkMillion(b *testing.B) {
	const million, step = 1_000_000, 10_000
	dir, err := storage.OpenDir(b.TempDir())
	require.NoError(b, err)
	defer dir.Close()
	files := bucket.New(dir)
	db := memdb.New()
	book := audit.New(db, files, newSigner(b), audit.Config{Hot: time.Nanosecond, MaxWaiting: 2 * step})
	begun := time.Now()
	for i := 0; i < million; i += step {
		for from := i; from < i+step; from += 1000 {
			var changes []ci.DocChange
			for j := range 1000 {
				more, err := book.Draft(b.Context(), act(from+j))
				require.NoError(b, err)
				changes = append(changes, more...)
			}
			_, err := db.WriteDocs(b.Context(), changes...)
			require.NoError(b, err)
		}
		require.NoError(b, book.Seal(b.Context(), noon.Add(time.Duration(i)*time.Minute)))
		for range step/500 + 1 {
			require.NoError(b, book.Seal(b.Context(), time.Now().Add(time.Duration(i)*time.Minute)))
		}
	}
	require.NoError(b, book.Seal(b.Context(), time.Now().AddDate(10, 0, 0)))
	b.ReportMetric(time.Since(begun).Seconds(), "fill-s")
	key := newSigner(b).Key()
	b.Run("verify", func(b *testing.B) {
		for range b.N {
			r, err := audit.Verify(b.Context(), files, key)
			require.NoError(b, err)
			require.EqualValues(b, million, r.Lines)
		}
	})
	for _, format := range []string{audit.CSV, audit.JSONL} {
		b.Run("export/"+format, func(b *testing.B) {
			for range b.N {
				out := &instant{}
				begun := time.Now()
				require.NoError(b, audit.Write(out, audit.FileLines(b.Context(), files), format, ci.AuditQuery{}))
				b.ReportMetric(out.first.Sub(begun).Seconds()*1000, "first-byte-ms")
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(out.n)/1e6, "MB")
			}
		})
	}
	b.Run("query/rare", func(b *testing.B) {
		for range b.N {
			require.NoError(b, audit.Write(io.Discard, audit.FileLines(b.Context(), files), audit.JSONL, ci.AuditQuery{Target: "c777777"}))
		}
	})
	b.Run("query/page", func(b *testing.B) {
		for range b.N {
			_, _, err := book.Entries(b.Context(), ci.AuditQuery{Action: "context.*"}, alice)
			require.NoError(b, err)
		}
	})
}
