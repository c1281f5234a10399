package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/rondo-ci/rondo/ci"
)

// statementTime is how long an answer of Postgres may take. A connection that
// is silent for longer is given up: the network lost it, or the server is gone.
const statementTime = 12 * time.Second

// isPostgres reports whether a dsn is the address of a Postgres.
func isPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// postgresConfig reads the address of a Postgres and adds what connections of
// ours need, where the address does not say otherwise.
func postgresConfig(dsn string, cfg Config) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		var where *url.Error
		if errors.As(err, &where) { // it would repeat the password
			err = where.Err
		}
		return nil, fmt.Errorf("%w: %w", err, ci.ErrInvalid)
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	durable := "on"
	if cfg.Volatile {
		durable = "off"
	}
	for name, value := range map[string]string{
		"application_name": "rondo",
		"timezone":         "UTC",
		// A commit is answered when it is on the disk, whatever the server's
		// default is.
		"synchronous_commit": durable,
		// A writer that is paused or cut off must not hold up the others. The
		// server notices at these times.
		"idle_in_transaction_session_timeout": "3s",
		"client_connection_check_interval":    "2s",
		"lock_timeout":                        "10s",
		"tcp_keepalives_idle":                 "5",
		"tcp_keepalives_interval":             "2",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    "10s",
	} {
		if _, given := c.RuntimeParams[name]; !given {
			c.RuntimeParams[name] = value
		}
	}
	return c, nil
}

// address is how the database is called in messages, without a password.
func address(dsn string) string {
	if !isPostgres(dsn) {
		return dsn
	}
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "postgres://..."
	}
	return fmt.Sprintf("postgres://%s@%s/%s", c.User, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database)
}

// openPostgres opens the pools and the writer.
func (db *DB) openPostgres(ctx context.Context, dsn string, cfg Config) error {
	c, err := postgresConfig(dsn, cfg)
	if err != nil {
		return err
	}
	trust := trusting(cfg.Roots)
	plain := stdlib.OpenDB(*c, stdlib.OptionBeforeConnect(trust))
	defer plain.Close()
	schema, err := db.checkPostgres(ctx, plain)
	if err != nil {
		return explain(err)
	}
	if err := migrate(ctx, plain, postgresMigrations); err != nil {
		return explain(err)
	}
	if _, err := plain.ExecContext(ctx, forgetWriters); err != nil {
		return explain(err)
	}
	db.write = openPool(c, 1, trust)
	db.read = openPool(c, cfg.Readers, trust)
	db.reader = newStatements(db.read.PrepareContext)
	db.reader.numbered, db.reader.patience = true, cfg.BusyTimeout
	db.reader.behind = strings.Repeat("\U0010ffff", 32)
	session := newPostgresSession(db.write, schema, cfg)
	db.writer = newWriter(session, cfg.BusyTimeout, db.commits)
	db.listener = &listener{config: c, trust: trust, channel: session.channel}
	return session.connect()
}

// forgetWriters removes what writers that were killed have left, a day later:
// each looks for its number only while it settles a commit.
const forgetWriters = `
	DELETE FROM counters WHERE name > '` + writerPrefix + `' AND name < 'writer0'
	AND value < (extract(epoch FROM now()) - 86400) * 1000000`

// checkPostgres refuses a server that we cannot work with and logs how durable
// its commits are. It returns the schema that our tables are in.
func (db *DB) checkPostgres(ctx context.Context, pool *sql.DB) (schema string, err error) {
	var version int
	var encoding, commit, fsync, pages string
	var standby bool
	err = pool.QueryRowContext(ctx, `
		SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
			current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'),
			pg_is_in_recovery(), coalesce(current_schema(), '')`,
	).Scan(&version, &encoding, &commit, &fsync, &pages, &standby, &schema)
	switch {
	case err != nil:
		return "", err
	case version < 140000:
		return "", fmt.Errorf("this is Postgres %d, and 14 or newer is needed: %w", version/10000, ci.ErrInvalid)
	case encoding != "UTF8":
		return "", fmt.Errorf("its encoding is %s: create the database with ENCODING 'UTF8': %w", encoding, ci.ErrInvalid)
	case standby:
		return "", fmt.Errorf("this is a standby, which cannot be written: give the address of the primary: %w", ci.ErrInvalid)
	case schema == "":
		return "", fmt.Errorf("no schema of the search_path exists or may be used: %w", ci.ErrInvalid)
	}
	db.log.Info("database is Postgres", "version", version/10000, "schema", schema,
		"synchronous_commit", commit, "fsync", fsync, "full_page_writes", pages)
	if commit != "on" && commit != "remote_apply" || fsync != "on" || pages != "on" {
		db.log.Warn("a loss of power may lose what was acknowledged: set synchronous_commit, fsync and full_page_writes to on in Postgres",
			"synchronous_commit", commit, "fsync", fsync, "full_page_writes", pages)
	}
	return schema, nil
}

// explainPostgres adds what an operator should know to an error of Postgres.
func explainPostgres(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == "53100":
		return fmt.Errorf("disk of the database is full: %w", err)
	case e.Code == "25006":
		return fmt.Errorf("database may not be written: %w", err)
	case e.Code == "42501":
		return fmt.Errorf("this user may not do that in the database (see GRANT): %w", err)
	case e.Code == "22021", e.Code == "22P05":
		return fmt.Errorf("text with a zero byte: %w: %w", ci.ErrInvalid, err)
	case strings.HasPrefix(e.Code, "XX001"), strings.HasPrefix(e.Code, "XX002"):
		return fmt.Errorf("database is damaged, restore it from a backup: %w", err)
	}
	return err
}

// isAway reports whether an error says that the database cannot be reached now
// or has given up what was asked, so that asking again makes sense.
func isAway(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case "57P01", "57P02", "57P03", "57P05", // stopped, crashed, starting, idle too long
			"53300",          // too many connections
			"25P03", "25P04", // our transaction was idle or long
			"55P03",          // the writers' lock was not to be had
			"40001", "40P01": // serialization, deadlock: none is expected
			return true
		}
		return strings.HasPrefix(e.Code, "08")
	}
	var c *pgconn.ConnectError
	if errors.As(err, &c) {
		return true
	}
	var n net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &n)
}
