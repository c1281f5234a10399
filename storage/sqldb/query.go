package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// statements are SQL statements that are prepared on first use and kept. In
// their text the parameters are question marks.
type statements struct {
	prepare func(ctx context.Context, query string) (*sql.Stmt, error)
	// numbered says that the database wants numbered parameters, patience how
	// long a read is tried again while it is away, and behind is a value that
	// sorts behind every text. All are set before the first use.
	numbered bool
	patience time.Duration
	behind   any

	mu   sync.Mutex
	kept map[string]*sql.Stmt
}

func newStatements(prepare func(context.Context, string) (*sql.Stmt, error)) *statements {
	return &statements{prepare: prepare, behind: []byte{0xff}, kept: make(map[string]*sql.Stmt)}
}

// get returns the prepared statement.
func (s *statements) get(query string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.kept[query]; st != nil {
		return st, nil
	}
	// Not the caller's context: the statement outlives the call.
	st, err := s.prepare(context.Background(), placeholders(query, s.numbered))
	if err != nil {
		return nil, err
	}
	s.kept[query] = st
	return st, nil
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, st := range s.kept {
		errs = append(errs, st.Close())
	}
	s.kept = make(map[string]*sql.Stmt)
	return errors.Join(errs...)
}

// exec runs a statement and returns how many rows it touched.
func (s *statements) exec(ctx context.Context, query string, args ...any) (int64, error) {
	st, err := s.get(query)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// row reads the one row of a query into dest. No row is [ci.ErrNotFound].
func (s *statements) row(ctx context.Context, query string, args []any, dest ...any) error {
	return patiently(ctx, s.patience, func() error {
		st, err := s.get(query)
		if err != nil {
			return explain(err)
		}
		err = st.QueryRowContext(ctx, args...).Scan(dest...)
		if errors.Is(err, sql.ErrNoRows) {
			return ci.ErrNotFound
		}
		return explain(err)
	})
}

// rows calls scan for each row of a query. The connection is free again when
// rows returns, so it must not be called from scan.
func (s *statements) rows(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	var rows *sql.Rows
	err := patiently(ctx, s.patience, func() error { // Postgres fails here, not between rows
		st, err := s.get(query)
		if err == nil {
			rows, err = st.QueryContext(ctx, args...)
		}
		return explain(err)
	})
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return explain(err)
		}
	}
	return explain(rows.Err())
}

// exec runs a statement in the transaction. It is never interrupted.
func (t *tx) exec(query string, args ...any) (int64, error) {
	n, err := t.statements.exec(context.Background(), query, args...)
	return n, explain(err)
}

func (t *tx) row(query string, args []any, dest ...any) error {
	return t.statements.row(context.Background(), query, args, dest...)
}

func (t *tx) rows(query string, args []any, scan func(*sql.Rows) error) error {
	return t.statements.rows(context.Background(), query, args, scan)
}

// next advances a counter by n and returns its new value.
func (t *tx) next(counter string, n int) (value int64, err error) {
	err = t.row(`
		INSERT INTO counters (name, value) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value
		RETURNING value`, []any{counter, n}, &value)
	if err != nil {
		return 0, fmt.Errorf("counter %s: %w", counter, err)
	}
	return value, nil
}

// The counters. Numbers of pipelines and jobs are counted for each project.
const (
	countEvents    = "events"
	countPipelines = "pipelines"
	countWorkflows = "workflows"
	countTests     = "tests"
	countCursor    = "cursor"
	countTerm      = "term"
)

func pipelinesOf(p ci.ProjectID) string { return "pipelines/" + valid(p) }
func jobsOf(p ci.ProjectID) string      { return "jobs/" + valid(p) }

// placeholders writes the parameters of a query as the database wants them:
// as they are, or numbered ($1, $2, ...). No statement of this package has a
// question mark in any other sense.
func placeholders(query string, numbered bool) string {
	if !numbered {
		return query
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}
