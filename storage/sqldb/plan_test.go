package sqldb

import (
	"database/sql"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/citest"
)

// TestP21b_NoScans asks SQLite how it would run every statement that the
// suites have made the database prepare, and refuses any that reads a whole
// table or sorts what an index could have given in order: such a statement
// would slow with history.
func TestP21b_NoScans(t *testing.T) {
	reads, writes := map[string]bool{}, map[string]bool{}
	collect := func(db *DB) {
		for q := range db.reader.kept {
			reads[q] = true
		}
		for q := range db.writer.session.prepared().kept {
			writes[q] = true
		}
	}
	open := func(t *testing.T) *DB {
		db, err := Open(t.Context(), filepath.Join(t.TempDir(), "rondo.db"), Config{Volatile: true})
		require.NoError(t, err)
		t.Cleanup(func() {
			collect(db)
			require.NoError(t, db.Close())
		})
		return db
	}
	t.Run("store", func(t *testing.T) { citest.TestStore(t, func(t *testing.T) ci.Store { return open(t) }) })
	t.Run("docs", func(t *testing.T) { citest.TestDocs(t, func(t *testing.T) ci.Docs { return open(t) }) })
	t.Run("records", func(t *testing.T) {
		citest.TestRecords(t, func(t *testing.T) (ci.Store, ci.Records, citest.Backlog) {
			db := open(t)
			return db, db, db.Backlog()
		})
	})
	t.Run("backlog", func(t *testing.T) {
		citest.TestBacklog(t, func(t *testing.T) citest.Backlog { return open(t).Backlog() })
	})

	require.Greater(t, len(reads), 25, "the suites reach the statements")
	require.Greater(t, len(writes), 20, "the suites reach the statements")
	db := open(t)
	maps.Copy(writes, reads)
	var queries []string
	for _, q := range slices.Sorted(maps.Keys(writes)) {
		verb, _, _ := strings.Cut(strings.TrimSpace(q), " ")
		if verb, _, _ = strings.Cut(verb, "\n"); !slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE"}, verb) {
			continue
		}
		queries = append(queries, q)
		for _, step := range queryPlan(t, db, q) {
			if strings.HasPrefix(step, "SCAN") || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s\nin the plan of: %s", step, q)
			}
		}
	}
	t.Run("postgres", func(t *testing.T) { noScansInPostgres(t, append(queries, termNow)) })
}

// noScansInPostgres asks Postgres for the plans of the same statements. It is
// forbidden to scan and to sort, and shows either where it sees no other way.
func noScansInPostgres(t *testing.T, queries []string) {
	dsn := DatabaseForTest(t)(t)
	db, err := Open(t.Context(), dsn, Config{})
	require.NoError(t, err)
	defer db.Close()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	plan := func(query string) string {
		_, err := conn.Exec(t.Context(), "PREPARE one AS "+placeholders(query, true))
		require.NoError(t, err, query)
		args := strings.TrimSuffix("("+strings.Repeat("NULL, ", strings.Count(query, "?")), ", ") + ")"
		if args == "()" {
			args = ""
		}
		rows, err := conn.Query(t.Context(), "EXPLAIN EXECUTE one"+args, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err, query)
		steps, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, query)
		_, err = conn.Exec(t.Context(), "DEALLOCATE one")
		require.NoError(t, err)
		return strings.Join(steps, "\n")
	}
	for _, set := range []string{"enable_seqscan = off", "enable_sort = off", "enable_bitmapscan = off", "plan_cache_mode = force_generic_plan"} {
		_, err := conn.Exec(t.Context(), "SET "+set)
		require.NoError(t, err)
	}
	require.Contains(t, plan("SELECT body FROM pipelines WHERE created = ?"), "Seq Scan", "a scan would be seen")
	for _, q := range queries {
		steps := plan(q)
		if strings.Contains(steps, "Seq Scan") || strings.Contains(steps, "Sort") {
			t.Errorf("%s\nis the plan of: %s", steps, q)
		}
	}
}

func queryPlan(t *testing.T, db *DB, query string) []string {
	t.Helper()
	rows, err := db.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...)
	require.NoError(t, err, query)
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var a, b, c int
		var step string
		require.NoError(t, rows.Scan(&a, &b, &c, &step))
		steps = append(steps, step)
	}
	require.NoError(t, rows.Err())
	return steps
}

// A scan would be seen.
func TestP21b_QueryPlanSeesScans(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "rondo.db"), Config{Volatile: true})
	require.NoError(t, err)
	defer db.Close()
	plan := queryPlan(t, db, "SELECT body FROM pipelines WHERE created = ? ORDER BY branch")
	require.Contains(t, plan[0], "SCAN pipelines")
	require.Contains(t, plan[len(plan)-1], "TEMP B-TREE")
}

// The settings that make a write durable are those of the connections.
func TestP15_Durability(t *testing.T) {
	for _, volatile := range []bool{false, true} {
		db, err := Open(t.Context(), filepath.Join(t.TempDir(), "rondo.db"), Config{Volatile: volatile})
		require.NoError(t, err)
		want := map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000", "wal_autocheckpoint": "0",
		}
		if volatile {
			want["synchronous"] = "0"
		}
		for name, value := range want {
			var got sql.NullString
			require.NoError(t, db.writer.session.prepared().row(t.Context(), "PRAGMA "+name, nil, &got))
			require.Equal(t, value, got.String, name)
		}
		require.NoError(t, db.Close())
	}
}

func TestPlaceholders(t *testing.T) {
	for query, want := range map[string]string{
		"":                             "",
		"SELECT 1":                     "SELECT 1",
		"SELECT a FROM b WHERE c = ?":  "SELECT a FROM b WHERE c = $1",
		"? ?, ? (?, ?, ?, ?, ?, ?, ?)": "$1 $2, $3 ($4, $5, $6, $7, $8, $9, $10)",
	} {
		require.Equal(t, query, placeholders(query, false))
		require.Equal(t, want, placeholders(query, true))
	}
}

func TestValid(t *testing.T) {
	require.Equal(t, "a\x00ä", valid("a\x00ä"))
	require.Equal(t, "a\ufffd\ufffdb", valid("a\xff\xfeb"))
}

// What the database holds is not trusted to be what was written.
func FuzzUnpack(f *testing.F) {
	var p packer
	large, err := p.pack(ci.Plan{Source: strings.Repeat("a: b\n", 5000)})
	require.NoError(f, err)
	require.Less(f, len(large), 1000)
	small, err := p.pack(ci.Plan{Source: "a"})
	require.NoError(f, err)
	f.Add(large)
	f.Add(small)
	f.Add(large[:len(large)/2])
	f.Add([]byte{})
	f.Add(frame)
	f.Fuzz(func(_ *testing.T, b []byte) {
		var plan ci.Plan
		_ = p.unpack(b, &plan)
	})
}
