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

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

const migrationsFolder = "migrations/sqlite"

// migrate brings the database to the edition that this binary knows. An
// up-to-date one costs two small queries.
func migrate(ctx context.Context, pool *sql.DB) error {
	newest, err := newestEdition()
	if err != nil {
		return err
	}
	var last error
	for range 20 { // another process may be doing the same
		have, err := edition(ctx, pool)
		switch {
		case isBusy(err): // SQLite does not wait where the log is set up
			last = err
		case err != nil:
			return err
		case have > newest:
			return fmt.Errorf("the database is of edition %d, this version of Rondo knows up to %d: use a newer one: %w",
				have, newest, ci.ErrInvalid)
		case have == newest:
			return nil
		}
		if err == nil {
			if last = bringUp(ctx, pool); last == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("bring the database to edition %d: %w", newest, last)
}

// bringUp runs the migrations that are missing.
func bringUp(ctx context.Context, pool *sql.DB) error {
	folder, err := fs.Sub(migrations, migrationsFolder)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, pool, folder, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// edition returns the newest migration that the database has seen; 0 is an
// empty database. Tables of someone else are refused.
func edition(ctx context.Context, pool *sql.DB) (int64, error) {
	var tables, ours int
	err := pool.QueryRowContext(ctx, `
		SELECT count(*), count(CASE WHEN name = 'goose_db_version' THEN 1 END)
		FROM sqlite_master WHERE type = 'table'`).Scan(&tables, &ours)
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

// newestEdition returns the number of the newest migration in this binary.
func newestEdition() (int64, error) {
	entries, err := migrations.ReadDir(migrationsFolder)
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
