package sqldb_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/citest"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"github.com/rondo-ci/rondo/storage/sqldb/sqldbtest"
)

// postgres is the server of all tests of the package, started at first use.
// The tests inside the package use the same server.
func init() {
	sqldb.DatabaseForTest = func(t *testing.T) func(*testing.T) string {
		cluster(t)
		return func(t *testing.T) string { return newDatabase(t) }
	}
}

var postgres struct {
	once    sync.Once
	cluster *sqldbtest.Cluster
	err     error
	last    atomic.Int64 // database
}

func stopPostgres() {
	if postgres.cluster != nil {
		_ = postgres.cluster.Stop()
	}
}

// cluster returns the server of all tests.
func cluster(t testing.TB) *sqldbtest.Cluster {
	t.Helper()
	postgres.once.Do(func() { postgres.cluster, postgres.err = sqldbtest.Start() })
	if errors.Is(postgres.err, ci.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(postgres.err)
	}
	require.NoError(t, postgres.err)
	return postgres.cluster
}

// newDatabase makes an empty schema of its own for a test, which is as good as
// a database and faster.
func newDatabase(t testing.TB) string {
	t.Helper()
	c := cluster(t)
	name := fmt.Sprint("t", postgres.last.Add(1))
	require.NoError(t, c.Exec(t.Context(), "postgres", "CREATE SCHEMA "+name))
	return c.DSN("postgres") + "&search_path=" + name
}

func openPostgres(t testing.TB, cfg sqldb.Config) *sqldb.DB {
	t.Helper()
	return openFile(t, newDatabase(t), cfg)
}

func TestDAT01_PostgresStore(t *testing.T) {
	citest.TestStore(t, func(t *testing.T) ci.Store { return openPostgres(t, sqldb.Config{}) })
}

func TestDAT01_PostgresDocs(t *testing.T) {
	citest.TestDocs(t, func(t *testing.T) ci.Docs { return openPostgres(t, sqldb.Config{}) })
}

func TestDAT01_PostgresRecords(t *testing.T) {
	citest.TestRecords(t, func(t *testing.T) (ci.Store, ci.Records, citest.Backlog) {
		db := openPostgres(t, sqldb.Config{})
		return db, db, db.Backlog()
	})
}

func TestDAT01_PostgresBacklog(t *testing.T) {
	citest.TestBacklog(t, func(t *testing.T) citest.Backlog { return openPostgres(t, sqldb.Config{}).Backlog() })
	schedulertest.TestBacklog(t, func(t *testing.T) scheduler.Backlog { return openPostgres(t, sqldb.Config{}).Backlog() })
}

// What cannot be worked with is refused with a reason, and a password is not
// repeated.
func TestPostgresRefuses(t *testing.T) {
	c := cluster(t)
	foreign, err := c.Create(t.Context(), "songs")
	require.NoError(t, err)
	latin := "latin"
	require.NoError(t, c.Exec(t.Context(), "songs", "CREATE TABLE songs (name text)"))
	require.NoError(t, c.Exec(t.Context(), "postgres", "CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0"))
	for dsn, says := range map[string]string{
		foreign:                      "another program",
		c.DSN(latin):                 "ENCODING 'UTF8'",
		c.DSN("nosuch"):              "nosuch",
		"postgres://u:hunter2@%zz/x": "postgres://...",
		"postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable": "u@127.0.0.1:1/x",
	} {
		db, err := sqldb.Open(t.Context(), dsn, sqldb.Config{})
		require.Nil(t, db)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// Writers that were killed leave a row each, which goes after a day.
func TestDeadWritersAreForgotten(t *testing.T) {
	dsn := newDatabase(t)
	require.NoError(t, openFile(t, dsn, sqldb.Config{}).Close())
	schema := dsn[strings.LastIndex(dsn, "=")+1:]
	require.NoError(t, cluster(t).Exec(t.Context(), "postgres",
		"INSERT INTO "+schema+".counters VALUES ('writer/old', 5), ('writer/new', 1e6 * extract(epoch FROM now())), ('events', 3)"))
	openFile(t, dsn, sqldb.Config{})
	require.Error(t, cluster(t).Exec(t.Context(), "postgres", "SELECT 1/(SELECT count(*) FROM "+schema+".counters WHERE name = 'writer/old')"))
	require.NoError(t, cluster(t).Exec(t.Context(), "postgres", "SELECT 1/(SELECT count(*) - 1 FROM "+schema+".counters WHERE name IN ('writer/new', 'events'))"))
}
