package sqldb

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The statements that undo a transaction, and that bracket and undo a caller's
// part of one.
const (
	undoAll   = "ROLLBACK"
	beginPart = "SAVEPOINT part"
	endPart   = "RELEASE part"
	undoPart  = "ROLLBACK TO part"
)

// errAway says that the database did not answer, or is not to be reached, and
// that what was asked of it has left no trace.
var errAway = errors.New("the database is away")

// explain adds what an operator should know to an error of a database.
func explain(err error) error {
	if err == nil || errors.Is(err, errAway) {
		return err
	}
	if isAway(err) {
		return fmt.Errorf("%w: %w", errAway, err)
	}
	return explainPostgres(explainSQLite(err))
}

// patiently calls try again and again for as long as the database is away, up
// to the limit; with limit 0 once.
func patiently(ctx context.Context, limit time.Duration, try func() error) error {
	err := try()
	if limit <= 0 || !errors.Is(err, errAway) {
		return err
	}
	end := time.Now().Add(limit)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		if time.Now().Add(wait).After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(wait):
		}
		if err = try(); !errors.Is(err, errAway) {
			return err
		}
	}
}
