package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// openPool returns a pool of connections to Postgres.
func openPool(c *pgx.ConnConfig, connections int, trust beforeConnect) *sql.DB {
	pool := sql.OpenDB(pgConnector{stdlib.GetConnector(*c, stdlib.OptionBeforeConnect(trust))})
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool
}

// A pgConnector makes connections that tell a lost one from a refused
// statement, do not wait for an answer for ever, and read a result to its end
// before they hand it out, so that a query that failed can be asked again.
type pgConnector struct{ driver.Connector }

// Connect implements [driver.Connector].
func (c pgConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		if ctx.Err() == nil && isAway(err) {
			err = fmt.Errorf("%w: %w", errAway, err)
		}
		return nil, err
	}
	return &pgConn{conn.(*stdlib.Conn)}, nil
}

// A pgConn is a connection to Postgres.
type pgConn struct{ *stdlib.Conn }

// IsValid implements [driver.Validator].
func (c *pgConn) IsValid() bool { return !c.Conn.Conn().IsClosed() }

// PrepareContext implements [driver.ConnPrepareContext].
func (c *pgConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	within, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	st, err := c.Conn.PrepareContext(within, query)
	if err != nil {
		return nil, c.judge(ctx, err)
	}
	return &pgStmt{st.(*stdlib.Stmt), c}, nil
}

// control runs statements without parameters, one after the other in one
// exchange. Inside a transaction they are part of it.
func (c *pgConn) control(statements ...string) ([]*pgconn.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statementTime)
	defer cancel()
	results, err := c.Conn.Conn().PgConn().Exec(ctx, strings.Join(statements, ";")).ReadAll()
	if err != nil {
		return nil, c.judge(context.Background(), err)
	}
	for _, r := range results {
		if r.Err != nil {
			return nil, c.judge(context.Background(), r.Err)
		}
	}
	return results, nil
}

// judge says what an error means: the caller gave up, the connection is lost,
// or the statement was refused.
func (c *pgConn) judge(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, driver.ErrBadConn):
		return err // database/sql takes another one
	case c.Conn.Conn().IsClosed() || isAway(err):
		return fmt.Errorf("%w: %w", errAway, err)
	}
	return err
}

// A pgStmt is a prepared statement.
type pgStmt struct {
	*stdlib.Stmt
	conn *pgConn
}

// CheckNamedValue implements [driver.NamedValueChecker]: yes and no are kept
// as 1 and 0, as SQLite has them.
func (s *pgStmt) CheckNamedValue(v *driver.NamedValue) (err error) {
	v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value)
	if yes, ok := v.Value.(bool); ok {
		v.Value = int64(0)
		if yes {
			v.Value = int64(1)
		}
	}
	return err
}

// ExecContext implements [driver.StmtExecContext].
func (s *pgStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	within, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	r, err := s.Stmt.ExecContext(within, args)
	if err != nil {
		return nil, s.conn.judge(ctx, err)
	}
	return r, nil
}

// QueryContext implements [driver.StmtQueryContext].
func (s *pgStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	within, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	rows, err := s.Stmt.QueryContext(within, args)
	if err != nil {
		return nil, s.conn.judge(ctx, err)
	}
	all, err := readAll(rows)
	if err = errors.Join(err, rows.Close()); err != nil {
		return nil, s.conn.judge(ctx, err)
	}
	return all, nil
}

// A result is rows that have been read.
type result struct {
	columns []string
	rows    [][]driver.Value
}

func readAll(rows driver.Rows) (*result, error) {
	r := &result{columns: rows.Columns()}
	for {
		row := make([]driver.Value, len(r.columns))
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return r, nil
		case err != nil:
			return nil, err
		}
		r.rows = append(r.rows, row)
	}
}

// Columns implements [driver.Rows].
func (r *result) Columns() []string { return r.columns }

// Close implements [driver.Rows].
func (r *result) Close() error { return nil }

// Next implements [driver.Rows].
func (r *result) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}
