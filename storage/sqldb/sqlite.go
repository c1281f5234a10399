package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/rondo-ci/rondo/ci"
)

// A sqliteSession is the writer's connection to a file.
type sqliteSession struct {
	conn       *sql.Conn
	statements *statements
}

func newSQLiteSession(conn *sql.Conn) *sqliteSession {
	return &sqliteSession{conn, newStatements(conn.PrepareContext)}
}

// begin takes SQLite's write lock at once: a transaction that began as a
// reader could find, at its first write, that another process was faster.
func (s *sqliteSession) begin() error { return s.run("BEGIN IMMEDIATE") }

func (s *sqliteSession) commit(uint64) error { return s.run("COMMIT") }

func (s *sqliteSession) run(statement string) error {
	_, err := s.statements.exec(context.Background(), statement)
	return err
}

func (s *sqliteSession) prepared() *statements { return s.statements }

func (s *sqliteSession) close() error { return errors.Join(s.statements.close(), s.conn.Close()) }

// sqliteFile returns the path that a dsn names.
func sqliteFile(dsn string) (string, error) {
	switch {
	case dsn == "":
		return "", fmt.Errorf("no file given: %w", ci.ErrInvalid)
	case strings.Contains(dsn, "://"):
		return "", fmt.Errorf("only postgres:// and a path to a file are understood: %w", ci.ErrInvalid)
	case strings.HasPrefix(dsn, ":"), strings.HasPrefix(dsn, "file:"):
		return "", fmt.Errorf("only a path to a file is understood (in memory there is storage/memdb): %w", ci.ErrInvalid)
	}
	if info, err := os.Stat(dsn); err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("not a regular file: %w", ci.ErrInvalid)
	}
	if info, err := os.Stat(filepath.Dir(dsn)); err != nil {
		return "", err
	} else if !info.IsDir() {
		return "", fmt.Errorf("%s is not a folder: %w", filepath.Dir(dsn), ci.ErrInvalid)
	}
	return filepath.Abs(dsn)
}

// makePrivate makes the file of a new database, for this user only: SQLite
// would let others read it, and gives its log the mode of the file. One that
// exists keeps its mode. An error is SQLite's to find and to tell.
func makePrivate(file string) {
	if f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		_ = f.Close()
	}
}

// sqliteDSN returns the driver's address of the file with the settings of a
// connection. The caches are small: the operating system keeps the file too.
func sqliteDSN(file string, cfg Config, reader bool) string {
	sync, cache, readonly := "FULL", "-2000", "0"
	if cfg.Volatile {
		sync = "OFF"
	}
	if reader {
		cache, readonly = "-1000", "1"
	}
	q := url.Values{
		"_error_rc": {"1"},
		"_dqs":      {"0"},
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", cfg.BusyTimeout.Milliseconds()),
			"journal_mode(WAL)",
			"synchronous(" + sync + ")",
			"foreign_keys(1)",
			"temp_store(MEMORY)",
			"cache_size(" + cache + ")",
			// Checkpoints are the checkpointer's, not a committing writer's.
			"wal_autocheckpoint(0)",
			fmt.Sprintf("journal_size_limit(%d)", 4*checkpointPages*4096),
			"query_only(" + readonly + ")",
		},
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: file, RawQuery: q.Encode()}
	return u.String()
}

// openSQLite returns a pool of connections that stay open.
func openSQLite(dsn string, connections int) (*sql.DB, error) {
	// SQLite's own choice where it finds the call: the same durability, and
	// no wait for the time stamp of the file. Not everywhere available.
	_, _ = sqlite.Fdatasync(true)
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool, nil
}

// explainSQLite adds what an operator should know to an error of SQLite.
func explainSQLite(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_FULL:
		return fmt.Errorf("disk is full: %w", err)
	case lib.SQLITE_NOTADB:
		return fmt.Errorf("not a database, or damaged: %w", err)
	case lib.SQLITE_CORRUPT:
		return fmt.Errorf("database is damaged, restore it from a backup: %w", err)
	case lib.SQLITE_BUSY:
		return fmt.Errorf("another process holds the database: %w", err)
	case lib.SQLITE_READONLY:
		return fmt.Errorf("database may not be written: %w", err)
	}
	return err
}

// isFull reports whether there was no room on the disk.
func isFull(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == lib.SQLITE_FULL
}

// isBusy reports whether another process held the database.
func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == lib.SQLITE_BUSY
}

// isSyncFailure reports whether the disk refused to keep what was written.
func isSyncFailure(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code() == lib.SQLITE_IOERR_FSYNC || e.Code() == lib.SQLITE_IOERR_DIR_FSYNC
}

// A checkpointer moves the write-ahead log into the file while writers go on.
type checkpointer struct {
	commits int64 // since the last checkpoint; belongs to the writer's turn
	running atomic.Bool
	tasks   sync.WaitGroup
}

// A checkpoint is due every so many commits. It goes on beside the writers,
// and what they add meanwhile stays; the log begins anew only when all of it
// has been moved. So when it has grown to checkpointPages, that little rest is
// moved while writers wait. This keeps the log at a few MB, which is also what
// the next process has to read if this one is killed.
const (
	checkpointCommits = 80
	checkpointPages   = 1000
)

// committed counts a commit and starts a checkpoint when one is due.
func (c *checkpointer) committed(db *DB) {
	if c.commits++; c.commits >= checkpointCommits {
		c.start(db)
	}
}

// start starts a checkpoint unless one is running. The caller has the turn.
func (c *checkpointer) start(db *DB) {
	if !c.running.CompareAndSwap(false, true) {
		return
	}
	c.commits = 0
	c.tasks.Go(func() {
		defer c.running.Store(false)
		if err := c.run(db); err != nil {
			db.log.Warn("checkpoint, will try again", "err", err)
		}
	})
}

func (c *checkpointer) wait() { c.tasks.Wait() }

func (c *checkpointer) run(db *DB) error {
	pages, err := checkpoint(db.reader)
	if err != nil || pages < checkpointPages {
		return explain(err)
	}
	if err := db.writer.enter(context.Background()); err != nil {
		return err
	}
	defer db.writer.settle()
	db.writer.end()
	_, err = checkpoint(db.reader)
	return explain(err)
}

// checkpoint moves what was committed when it began and no reader holds back.
// It returns how long the log was then.
func checkpoint(s *statements) (pages int, err error) {
	err = s.row(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)", nil, new(int), &pages, new(int))
	return pages, err
}
