package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/rondo-ci/rondo/ci"
)

// A mortal is a database whose process dies before its n-th statement: the
// connection is cut there, as the kernel would, and nothing works any more.
type mortal struct {
	open   func() (driver.Conn, error)
	left   int
	cut    bool
	died   chan struct{}
	conns  []driver.Conn
	killed func(driver.Conn)
}

var errDead = errors.New("killed")

func (m *mortal) Connect(context.Context) (driver.Conn, error) {
	if m.cut {
		return nil, errDead
	}
	c, err := m.open()
	m.conns = append(m.conns, c)
	return &mortalConn{c, m}, err
}

func (m *mortal) Driver() driver.Driver { return nil }

type mortalConn struct {
	driver.Conn
	m *mortal
}

func (c *mortalConn) step() error {
	if !c.m.cut {
		if c.m.left--; c.m.left >= 0 {
			return nil
		}
		c.m.cut = true
		for _, conn := range c.m.conns {
			c.m.killed(conn)
		}
		close(c.m.died)
		select {} // nothing that is deferred may run
	}
	return errDead
}

// dies runs f, with the database, and reports whether it was killed.
func (m *mortal) dies(f func(*sql.DB) error) (killed bool, err error) {
	m.died = make(chan struct{})
	pool, done := sql.OpenDB(m), make(chan error, 1)
	go func() { done <- errors.Join(f(pool), pool.Close()) }()
	select {
	case <-m.died:
		return true, nil
	case err := <-done:
		return false, err
	}
}

func (c *mortalConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, q, args)
}

func (c *mortalConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, q, args)
}

func (c *mortalConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return mortalTx{tx, c}, err
}

type mortalTx struct {
	driver.Tx
	c *mortalConn
}

func (t mortalTx) Commit() error {
	if err := t.c.step(); err != nil {
		return err
	}
	return t.Tx.Commit()
}

// What a process that dies before any of the statements of a migration leaves
// is brought to the newest edition by the next one, up and down again.
func TestP23_MigrationKilledAtEachStatement(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		killed := func(c driver.Conn) { _ = c.Close() }
		for to := range slices.Values([]int64{1, 2}) {
			killEach(t, to, func(t *testing.T) string { return filepath.Join(t.TempDir(), "rondo.db") }, sqliteMigrations,
				func(dsn string, left int) *mortal {
					return &mortal{left: left, killed: killed, open: func() (driver.Conn, error) {
						return new(sqlite.Driver).Open(sqliteDSN(dsn, Config{Volatile: true}, false))
					}}
				})
		}
	})
	t.Run("postgres", func(t *testing.T) {
		newDatabase := DatabaseForTest(t)
		for to := range slices.Values([]int64{1, 2}) {
			killEach(t, to, newDatabase, postgresMigrations, func(dsn string, left int) *mortal {
				config, err := pgx.ParseConfig(dsn)
				require.NoError(t, err)
				return &mortal{left: left, open: func() (driver.Conn, error) {
					return stdlib.GetConnector(*config).Connect(context.Background())
				}, killed: func(c driver.Conn) { _ = c.(*stdlib.Conn).Conn().PgConn().Conn().Close() }}
			})
		}
	})
}

// killEach goes up to an edition, killed before each of its statements in
// turn, until one run is not killed any more. Then the way down to 1, likewise.
func killEach(t *testing.T, to int64, fresh func(*testing.T) string, m migrations, make func(string, int) *mortal) {
	ctx := context.Background()
	for left := 0; ; left++ {
		dsn := fresh(t)
		killed, err := make(dsn, left).dies(func(pool *sql.DB) error { return m.bringUp(ctx, pool, to) })
		require.NoError(t, err)
		if !killed {
			require.Greater(t, left, 5, "it was killed at some statements")
			break
		}
		e, err := ReadEdition(ctx, dsn)
		require.NoError(t, err, "killed before statement %d", left)
		require.LessOrEqual(t, e.Have, to)
		_, err = Migrate(ctx, dsn, e.Newest)
		require.NoError(t, err, "killed before statement %d", left)
		if left%5 == 0 {
			checkUsable(t, dsn)
		}
	}
	dsn := fresh(t)
	checkUsable(t, dsn)
	for left := 0; to > 1; left++ {
		killed, err := make(dsn, left).dies(func(pool *sql.DB) error {
			return m.alone(ctx, pool, func(p *goose.Provider) error {
				_, err := p.DownTo(ctx, 1)
				return err
			})
		})
		require.NoError(t, err)
		if !killed {
			require.Greater(t, left, 2, "it was killed at some statements")
			break
		}
		checkUsable(t, dsn) // goes up again if it was down
	}
}

func checkUsable(t *testing.T, dsn string) {
	t.Helper()
	db, err := Open(t.Context(), dsn, Config{Volatile: true})
	require.NoError(t, err)
	defer db.Close()
	_, err = db.WriteDocs(t.Context(), ci.DocChange{Doc: ci.Doc{Kind: "k", ID: "1", Version: ci.AnyVersion}})
	require.NoError(t, err)
	require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "s"}))
}

// Going back one edition and up again loses nothing.
func TestP23_BackLosesNothing(t *testing.T) {
	for name, fresh := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "rondo.db") },
		"postgres": func(t *testing.T) string { return DatabaseForTest(t)(t) },
	} {
		t.Run(name, func(t *testing.T) {
			dsn, ctx := fresh(t), t.Context()
			e, err := ReadEdition(ctx, dsn)
			require.NoError(t, err)
			require.Equal(t, int64(0), e.Have)
			db, err := Open(ctx, dsn, Config{})
			require.NoError(t, err)
			var changes []ci.DocChange
			for i := range 300 {
				changes = append(changes, ci.DocChange{Doc: ci.Doc{Kind: "k", ID: fmt.Sprint(i), Body: []byte(strings.Repeat("x", i)), Sealed: "s"}})
			}
			kept, err := db.WriteDocs(ctx, changes...)
			require.NoError(t, err)
			if isPostgres(dsn) {
				_, err = Migrate(ctx, dsn, e.Newest-1)
				require.ErrorIs(t, err, ci.ErrConflict, "a server uses it")
			}
			require.NoError(t, db.Close())
			for to := e.Newest - 1; to >= 1; to-- {
				from, err := Migrate(ctx, dsn, to)
				require.NoError(t, err)
				require.Equal(t, to+1, from)
				now, err := ReadEdition(ctx, dsn)
				require.NoError(t, err)
				require.Equal(t, Edition{Have: to, Newest: e.Newest}, now)
			}
			for _, to := range []int64{-1, 0, e.Newest + 1} {
				_, err = Migrate(ctx, dsn, to)
				require.ErrorIs(t, err, ci.ErrInvalid)
			}
			db, err = Open(ctx, dsn, Config{})
			require.NoError(t, err)
			defer db.Close()
			for _, d := range kept {
				got, err := db.Doc(ctx, d.Kind, d.ID)
				require.NoError(t, err)
				if len(d.Body) == 0 {
					d.Body = nil
				}
				require.Equal(t, d, got)
			}
		})
	}
}
