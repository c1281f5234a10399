package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/rondo-ci/rondo/ci"
)

// An Edition is how the tables of a database are laid out.
type Edition struct {
	// Have is that of the database; 0 is an empty one.
	Have int64
	// Newest is the one that this binary knows and works with.
	Newest int64
}

// ReadEdition returns the edition of the database dsn, see [Open], which it
// does not change; a file that is missing is made, and stays empty. A
// database of another program is [ci.ErrInvalid].
func ReadEdition(ctx context.Context, dsn string) (Edition, error) {
	var e Edition
	err := withMigrations(ctx, dsn, func(pool *sql.DB, m migrations) (err error) {
		if e.Newest, err = m.newest(); err == nil {
			e.Have, err = m.edition(ctx, pool)
		}
		return err
	})
	if err != nil {
		return Edition{}, fmt.Errorf("edition of database %s: %w", address(dsn), explain(err))
	}
	return e, nil
}

// Migrate brings the database dsn to an edition, up or down, and returns the
// one it had. Going down loses nothing: an older Rondo finds what it knows, and
// on the way up again the rest is there. An edition that this binary does not
// know is [ci.ErrInvalid]; going down while a server uses a Postgres is
// [ci.ErrConflict] (that nobody uses a file is for the caller to see to).
//
// Each migration is one transaction. So when this ends in the middle, by
// whatever, the database is of one edition or the next, and doing it again
// goes on from there. [Open] does all that is needed after an upgrade; Migrate
// is for the way back.
func Migrate(ctx context.Context, dsn string, to int64) (from int64, err error) {
	err = withMigrations(ctx, dsn, func(pool *sql.DB, m migrations) error {
		newest, err := m.newest()
		if err != nil {
			return err
		}
		if to < 1 || to > newest {
			return fmt.Errorf("this version of Rondo knows editions 1 to %d: %w", newest, ci.ErrInvalid)
		}
		if from, err = m.edition(ctx, pool); err != nil {
			return err
		}
		switch {
		case from > newest:
			return fmt.Errorf("it is of edition %d: only the version of Rondo that made it knows the way back: %w", from, ci.ErrInvalid)
		case from < to:
			_, err = m.to(ctx, pool, to)
		case from > to:
			err = m.bringDown(ctx, pool, to)
		}
		return err
	})
	if err != nil {
		return from, fmt.Errorf("bring database %s to edition %d: %w", address(dsn), to, explain(err))
	}
	return from, nil
}

// bringDown undoes the migrations after an edition, each in a transaction.
func (m migrations) bringDown(ctx context.Context, pool *sql.DB, to int64) error {
	if m.lock != "" {
		var servers int
		err := pool.QueryRowContext(ctx, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name LIKE 'rondo writer %'`).Scan(&servers)
		if err != nil {
			return err
		}
		if servers > 0 {
			return fmt.Errorf("%d servers use it: stop them first: %w", servers, ci.ErrConflict)
		}
	}
	return m.alone(ctx, pool, func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, to)
		return err
	})
}

// withMigrations opens the database for a change of its edition.
func withMigrations(ctx context.Context, dsn string, do func(*sql.DB, migrations) error) (err error) {
	m := sqliteMigrations
	var pool *sql.DB
	if isPostgres(dsn) {
		c, err := postgresConfig(dsn, Config{})
		if err != nil {
			return err
		}
		m, pool = postgresMigrations, stdlib.OpenDB(*c)
		db := &DB{log: slog.New(slog.DiscardHandler)}
		if _, err := db.checkPostgres(ctx, pool); err != nil {
			return errors.Join(err, pool.Close())
		}
	} else {
		file, err := sqliteFile(dsn)
		if err != nil {
			return err
		}
		makePrivate(file)
		if pool, err = openSQLite(sqliteDSN(file, Config{}, false), 1); err != nil {
			return err
		}
	}
	return errors.Join(do(pool, m), pool.Close())
}
