package sqldb

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

var (
	_ ci.Store   = (*DB)(nil)
	_ ci.Records = (*DB)(nil)
	_ ci.Docs    = (*DB)(nil)
)

// Config holds what a [DB] can do without. Its zero value is the safe one.
type Config struct {
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// Roots are the authorities that the certificate of a Postgres is checked
	// with, asked for at each connection; nil, and an address with sslrootcert,
	// is not asked. nil are those of the system.
	Roots func() *x509.CertPool
	// Volatile leaves it to the operating system when writes reach the disk.
	// They survive the death of the process but not a loss of power. It is
	// for runs whose records nobody will miss.
	Volatile bool
	// Readers is how many reads run at once; 0 is 4. Each costs about 1 MB,
	// with Postgres a connection.
	Readers int
	// BusyTimeout is how long a write waits for another process that writes
	// to the same file; 0 is 10 seconds. With Postgres it is how long a call is
	// tried again while the server is away; 0 is 40 seconds.
	BusyTimeout time.Duration
}

// A DB is a database of records. All methods are safe for concurrent use.
type DB struct {
	log      *slog.Logger
	write    *sql.DB // has one connection
	read     *sql.DB
	writer   *writer
	reader   *statements
	packer   packer
	keeper   *checkpointer // nil with Postgres
	signal   signal
	tail     tail
	listener *listener     // nil with SQLite
	stopped  chan struct{} // closed when the disk did not keep a write

	mu    sync.Mutex
	fault error // why stopped is closed
}

// Open opens the database in the file dsn, making it if need be; its folder
// must exist. Or dsn is the address of a Postgres 14 or newer,
// postgres://user:password@host:port/database, whose database exists, is in
// UTF-8 and empty or ours. A database of a newer edition than this binary
// knows, a file that is no database of Rondo, and a damaged one are refused,
// and left as they are. Another scheme is [ci.ErrInvalid].
//
// Opening the same file twice is allowed but slow: writers wait for each
// other. A Postgres may be opened by several processes. Connections must be to
// the server itself, or by a pooler that keeps sessions.
func Open(ctx context.Context, dsn string, cfg Config) (*DB, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Readers <= 0 {
		cfg.Readers = 4
	}
	if cfg.BusyTimeout <= 0 {
		cfg.BusyTimeout = 10 * time.Second
		if isPostgres(dsn) {
			cfg.BusyTimeout = 40 * time.Second
		}
	}
	db := &DB{log: cfg.Log, stopped: make(chan struct{})}
	if err := db.open(ctx, dsn, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", address(dsn), err), db.closePools())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context, dsn string, cfg Config) error {
	open := db.openSQLite
	if isPostgres(dsn) {
		open = db.openPostgres
	}
	if err := open(ctx, dsn, cfg); err != nil {
		return err
	}
	newest, err := db.LastEvent(ctx)
	db.signal.raise(newest)
	return err
}

func (db *DB) openSQLite(ctx context.Context, dsn string, cfg Config) error {
	file, err := sqliteFile(dsn)
	if err != nil {
		return err
	}
	makePrivate(file)
	if db.write, err = openSQLite(sqliteDSN(file, cfg, false), 1); err != nil {
		return err
	}
	if err := migrate(ctx, db.write, sqliteMigrations); err != nil {
		return explain(err)
	}
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return explain(err)
	}
	db.writer, db.keeper = newWriter(newSQLiteSession(conn), 0, db.commits), &checkpointer{}
	if db.read, err = openSQLite(sqliteDSN(file, cfg, true), cfg.Readers); err != nil {
		return err
	}
	db.reader = newStatements(db.read.PrepareContext)
	return nil
}

// Close waits for writes under way and closes the database. Later calls
// return an error. Closing twice is allowed.
func (db *DB) Close() error {
	if !db.writer.close() {
		return nil
	}
	if db.keeper != nil {
		db.keeper.wait()
	}
	if err := db.closePools(); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

func (db *DB) closePools() error {
	var errs []error
	if db.reader != nil {
		errs = append(errs, db.reader.close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.session.close())
	}
	// The writer goes last: the last connection folds the log into the file.
	for _, pool := range []*sql.DB{db.read, db.write} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// Watch returns nil when ctx ends, and an error as soon as the disk has
// refused to keep a write (a failed sync). From then on every write is
// refused, since nobody can know what the disk still holds; the process
// should end, and the next one will find a consistent database. Reads go on.
// With Postgres, which ends itself when that happens, Watch hears meanwhile
// of the events that other processes write; without, [DB.Wait] hears of them
// half a second later.
// Any number of goroutines may watch; not watching is allowed.
func (db *DB) Watch(ctx context.Context) error {
	if db.listener != nil {
		db.listener.run(ctx, db.log, &db.signal)
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-db.stopped:
		db.mu.Lock()
		defer db.mu.Unlock()
		return db.fault
	}
}

// commits is told of the outcome of every transaction.
func (db *DB) commits(events []ci.Event, err error) {
	switch {
	case err == nil:
		if n := len(events); n > 0 {
			db.tail.add(events)
			db.signal.raise(events[n-1].Seq)
		}
		if db.keeper != nil {
			db.keeper.committed(db)
		}
	case isFull(err):
		db.keeper.start(db) // the log's own room can be used again
	case isSyncFailure(err):
		db.mu.Lock()
		defer db.mu.Unlock()
		if db.fault == nil {
			db.fault = err
			db.log.Error("the disk did not keep a write, no more writes until restart", "err", err)
			close(db.stopped)
		}
	}
}

// update runs fn in a transaction that may be shared with other callers and
// returns when it is on the disk. An error of fn undoes what fn did and is
// returned as it is. When fn panics, that is undone too.
func (db *DB) update(ctx context.Context, fn func(tx *tx) error) error {
	return db.writer.do(ctx, fn)
}
