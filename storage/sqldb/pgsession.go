package sqldb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rondo-ci/rondo/ci"
)

// A pgSession is the writer's connection to Postgres, made anew whenever it is
// lost.
//
// All writers of an installation, of whatever process, take turns by an
// advisory lock, as those of SQLite do by its write lock. So transactions
// commit in the order in which they took the lock, and see all that earlier
// ones have written.
//
// When the connection is lost while a commit is under way, nobody has said
// whether it was kept. So each transaction leaves its number in a row of this
// writer, and the next connection, once the lost one is known to be dead,
// reads there how it ended.
type pgSession struct {
	pool     *sql.DB
	patience time.Duration
	channel  string // where news of events are told
	lock     string // key of the advisory lock, as SQL

	conn       *sql.Conn // nil if there is none
	statements *statements
	name       string // application_name of the connection
	lost       string // that of one before, which may still be at work
	writer     string // the counter that this writer leaves its numbers in
	number     int64  // of the last transaction
	term       int64  // that this writer may write in; 0 is any
}

func newPostgresSession(pool *sql.DB, schema string, cfg Config) *pgSession {
	return &pgSession{
		pool: pool, patience: cfg.BusyTimeout, channel: "rondo/" + schema, writer: writerPrefix + rand.Text(),
		lock: fmt.Sprintf("hashtextextended(%s, 0)", quote("rondo/"+schema)),
	}
}

// writerPrefix begins the counters of writers.
const writerPrefix = "writer/"

// quote writes text as a literal of SQL.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// connect makes a connection. One that was lost before is ended first: it may
// be in a transaction, and hold the lock.
func (s *pgSession) connect() error {
	s.drop()
	ctx, cancel := context.WithTimeout(context.Background(), statementTime)
	defer cancel()
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", errAway, err)
		}
		return err
	}
	s.conn, s.statements = conn, newStatements(conn.PrepareContext)
	s.statements.numbered = true
	s.name = "rondo writer " + rand.Text()
	if _, err := s.control("SET application_name = " + quote(s.name)); err != nil {
		s.drop()
		return err
	}
	if s.lost == "" {
		return nil
	}
	if err := s.endLost(); err != nil {
		s.drop()
		return err
	}
	return nil
}

// drop forgets the connection.
func (s *pgSession) drop() {
	if s.conn == nil {
		return
	}
	if s.lost == "" { // else the one before is still to be ended
		s.lost = s.name
	}
	_ = s.raw(func(c *pgConn) error { return c.Conn.Conn().PgConn().Conn().Close() })
	_ = s.statements.close()
	_ = s.conn.Close()
	s.conn = nil
}

// endLost ends the connection that was lost and returns when it is gone, and
// its transaction decided.
func (s *pgSession) endLost() error {
	end := time.Now().Add(statementTime)
	for {
		r, err := s.control("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = " + quote(s.lost))
		if err != nil {
			return err
		}
		if string(r[0].Rows[0][0]) == "0" {
			s.lost = ""
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: an earlier connection does not end", errAway)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *pgSession) begin() error {
	if s.conn == nil || s.raw(func(c *pgConn) error {
		if c.Conn.Conn().IsClosed() {
			return errAway
		}
		return nil
	}) != nil {
		if err := s.connect(); err != nil {
			return err
		}
	}
	statements := []string{"BEGIN ISOLATION LEVEL READ COMMITTED", "SELECT pg_advisory_xact_lock(" + s.lock + ")"}
	if s.term > 0 {
		statements = append(statements, "SELECT value FROM counters WHERE name = "+quote(countTerm))
	}
	results, err := s.control(statements...)
	if err != nil || s.term == 0 {
		return err
	}
	if rows := results[2].Rows; len(rows) != 1 || string(rows[0][0]) != strconv.FormatInt(s.term, 10) {
		_ = s.run(undoAll)
		return fmt.Errorf("term %d is over, another server conducts: %w", s.term, ci.ErrConflict)
	}
	return nil
}

func (s *pgSession) commit(newest uint64) error {
	s.number = max(s.number+1, time.Now().UnixMicro())
	statements := []string{fmt.Sprintf(
		"INSERT INTO counters (name, value) VALUES (%s, %d) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
		quote(s.writer), s.number)}
	if newest > 0 {
		statements = append(statements, fmt.Sprintf("SELECT pg_notify(%s, '%d')", quote(s.channel), newest))
	}
	results, err := s.control(append(statements, "COMMIT")...)
	switch {
	case errors.Is(err, errAway):
		return s.settle(err)
	case err != nil:
		return err
	case results[len(results)-1].CommandTag.String() != "COMMIT":
		return errors.New("the database has undone the transaction")
	}
	return nil
}

// settle finds out how the last transaction has ended, whose commit was not
// answered.
func (s *pgSession) settle(cause error) error {
	var kept bool
	err := patiently(context.Background(), s.patience, func() error {
		if err := s.connect(); err != nil {
			return err
		}
		r, err := s.control(fmt.Sprintf("SELECT value FROM counters WHERE name = %s AND value = %d", quote(s.writer), s.number))
		if err == nil {
			kept = len(r[0].Rows) == 1
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("%v; whether it was kept is unknown: %v", cause, err) //nolint:errorlint // it must not be done again
	case !kept:
		return fmt.Errorf("commit was not answered and not kept: %w", cause)
	}
	return nil
}

func (s *pgSession) run(statement string) error {
	_, err := s.control(statement)
	return err
}

// errNoSession is why nothing can be run: the connection was lost.
var errNoSession = fmt.Errorf("%w: no connection", errAway)

// raw calls f with the connection.
func (s *pgSession) raw(f func(*pgConn) error) error {
	if s.conn == nil {
		return errNoSession
	}
	var err error
	if bad := s.conn.Raw(func(c any) error { err = f(c.(*pgConn)); return nil }); bad != nil {
		return fmt.Errorf("%w: %w", errAway, bad)
	}
	return err
}

func (s *pgSession) control(statements ...string) (results []*pgconn.Result, err error) {
	err = s.raw(func(c *pgConn) (err error) {
		results, err = c.control(statements...)
		return err
	})
	return results, err
}

func (s *pgSession) prepared() *statements { return s.statements }

func (s *pgSession) close() error {
	if s.conn == nil {
		return nil
	}
	_, _ = s.control("DELETE FROM counters WHERE name = " + quote(s.writer))
	return errors.Join(s.statements.close(), s.conn.Close())
}
