package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/rondo-ci/rondo/ci"
)

//go:embed migrations
var files embed.FS

// migrations are those of one kind of database.
type migrations struct {
	folder  string
	dialect goose.Dialect
	// tables counts the tables of the database, and those of goose.
	tables string
	lock   string // SQL of the key of an advisory lock; "" for none
}

var (
	sqliteMigrations = migrations{folder: "migrations/sqlite", dialect: goose.DialectSQLite3, tables: `
		SELECT count(*), count(CASE WHEN name = 'goose_db_version' THEN 1 END)
		FROM sqlite_master WHERE type = 'table'`}
	postgresMigrations = migrations{folder: "migrations/postgres", dialect: goose.DialectPostgres, lock: "hashtextextended('rondo editions/' || current_schema(), 0)", tables: `
		SELECT count(*), count(CASE WHEN table_name = 'goose_db_version' THEN 1 END)
		FROM information_schema.tables WHERE table_schema = current_schema()`}
)

// migrate brings the database to the edition that this binary knows. An
// up-to-date one costs two small queries.
func migrate(ctx context.Context, pool *sql.DB, m migrations) error {
	newest, err := m.newest()
	if err != nil {
		return err
	}
	have, err := m.to(ctx, pool, newest)
	if err == nil && have > newest {
		err = fmt.Errorf("the database is of edition %d, this version of Rondo knows up to %d: use a newer one, or let that one go back with rondo-server migrate --to %d: %w",
			have, newest, newest, ci.ErrInvalid)
	}
	return err
}

// to brings the database up to an edition at least. It returns the edition
// that it found or made.
func (m migrations) to(ctx context.Context, pool *sql.DB, wanted int64) (have int64, err error) {
	var last error
	for range 20 { // another process may be doing the same
		have, err := m.edition(ctx, pool)
		switch {
		case isBusy(err): // SQLite does not wait where the log is set up
			last = err
		case err != nil || have >= wanted:
			return have, err
		default:
			if last = m.bringUp(ctx, pool, wanted); last == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return 0, fmt.Errorf("bring the database to edition %d: %w", wanted, last)
}

// provider is goose, over the pool.
func (m migrations) provider(pool *sql.DB) (*goose.Provider, error) {
	folder, err := fs.Sub(files, m.folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(m.dialect, pool, folder, goose.WithDisableGlobalRegistry(true))
}

// alone runs f while no other process brings the database to another edition.
// SQLite needs no lock for that: each migration looks again in its transaction.
func (m migrations) alone(ctx context.Context, pool *sql.DB, f func(*goose.Provider) error) (err error) {
	if m.lock != "" {
		conn, err := pool.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock("+m.lock+")"); err != nil {
			return err
		}
		defer func() { // the lock also goes with the connection
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock("+m.lock+")")
		}()
	}
	provider, err := m.provider(pool)
	if err != nil {
		return err
	}
	return f(provider)
}

// bringUp runs the migrations that are missing, each in a transaction.
func (m migrations) bringUp(ctx context.Context, pool *sql.DB, wanted int64) error {
	return m.alone(ctx, pool, func(p *goose.Provider) error {
		_, err := p.UpTo(ctx, wanted)
		return err
	})
}

// edition returns the newest migration that the database has seen; 0 is an
// empty database. Tables of someone else are refused.
func (m migrations) edition(ctx context.Context, pool *sql.DB) (int64, error) {
	var tables, ours int
	err := pool.QueryRowContext(ctx, m.tables).Scan(&tables, &ours)
	switch {
	case err != nil:
		return 0, err
	case tables == 0:
		return 0, nil
	case ours == 0:
		return 0, fmt.Errorf("it holds the tables of another program: %w", ci.ErrInvalid)
	}
	var have sql.NullInt64
	err = pool.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version`).Scan(&have)
	return have.Int64, err
}

// newest returns the number of the newest migration in this binary.
func (m migrations) newest() (int64, error) {
	entries, err := files.ReadDir(m.folder)
	if err != nil {
		return 0, err
	}
	if len(entries) == 0 {
		return 0, errors.New("no migrations in this binary")
	}
	name := path.Base(entries[len(entries)-1].Name())
	number, _, _ := strings.Cut(name, "_")
	return strconv.ParseInt(number, 10, 64)
}
