package sqldb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Term is the time in which one of several processes conducts: follows the
// events, dispatches, and writes. There is one term at a time, and each has a
// higher number than the one before.
type Term struct {
	Number int64
	// Holder names the server that conducts, and Address where the others reach
	// it.
	Holder  string
	Address string
	// Left is how long the term lasts unless it is prolonged, by the clock of
	// the database; 0 or less when it is over.
	Left time.Duration
}

// The document that says who conducts.
const (
	termKind = "conductor"
	termID   = "term"
)

const termNow = `
	SELECT body, due - (extract(epoch FROM clock_timestamp()) * 1000)::bigint
	FROM docs WHERE kind = ? AND id = ?`

// Term returns the newest term; its number is 0 if there never was one. SQLite
// has no terms: [ci.ErrInvalid].
func (db *DB) Term(ctx context.Context) (Term, error) {
	if _, err := db.postgres(); err != nil {
		return Term{}, err
	}
	t, err := readTerm(func(body *[]byte, left *int64) error {
		return db.reader.row(ctx, termNow, []any{termKind, termID}, body, left)
	})
	if err != nil {
		return Term{}, fmt.Errorf("who conducts: %w", err)
	}
	return t, nil
}

func readTerm(row func(body *[]byte, left *int64) error) (Term, error) {
	var t Term
	var body []byte
	var left int64
	err := row(&body, &left)
	if errors.Is(err, ci.ErrNotFound) {
		return t, nil
	}
	if err == nil {
		err = json.Unmarshal(body, &t)
	}
	t.Left = time.Duration(left) * time.Millisecond
	return t, err
}

// postgres returns the writer's session, which knows the term.
func (db *DB) postgres() (*pgSession, error) {
	s, ok := db.writer.session.(*pgSession)
	if !ok {
		return nil, fmt.Errorf("several servers need a Postgres: %w", ci.ErrInvalid)
	}
	return s, nil
}

// Conduct takes the next term for this process if the last one is over or was
// that of the same holder, or prolongs the one that it has, by ttl from now.
// When another one conducts it is [ci.ErrConflict]. The caller sees to it that
// no two processes call themselves the same at a time.
//
// From the first time on every write of this DB looks, within its transaction,
// whether the term still is the newest, and is [ci.ErrConflict] if not: so a
// process that was paused while another one took over cannot change anything,
// and should end. ctx bounds the waiting for the database.
func (db *DB) Conduct(ctx context.Context, holder, address string, ttl time.Duration) (Term, error) {
	t, err := db.conduct(ctx, Term{Holder: holder, Address: address, Left: ttl})
	if err != nil {
		return Term{}, fmt.Errorf("conduct: %w", err)
	}
	return t, nil
}

func (db *DB) conduct(ctx context.Context, next Term) (Term, error) {
	s, err := db.postgres()
	if err != nil {
		return next, err
	}
	err = db.update(ctx, func(tx *tx) error {
		t, err := readTerm(func(body *[]byte, left *int64) error {
			return tx.row(termNow, []any{termKind, termID}, body, left)
		})
		switch {
		case err != nil:
			return err
		case s.term > 0: // ours, or the transaction would not have begun
			next.Number = s.term
		case t.Left > 0 && t.Holder != next.Holder:
			return fmt.Errorf("the server at %s does: %w", cmp.Or(t.Address, "an address that it does not tell"), ci.ErrConflict)
		default:
			if next.Number, err = tx.next(countTerm, 1); err != nil {
				return err
			}
		}
		return putTerm(tx, next)
	})
	if err != nil || s.term > 0 {
		return next, err
	}
	if err := db.writer.enter(context.Background()); err != nil {
		return next, err
	}
	s.term = next.Number
	db.writer.settle()
	return next, nil
}

// putTerm writes the term, which lasts from now on.
func putTerm(tx *tx, t Term) error {
	var now int64
	if err := tx.row(`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint`, nil, &now); err != nil {
		return err
	}
	body, err := json.Marshal(Term{Number: t.Number, Holder: t.Holder, Address: t.Address})
	if err != nil {
		return err
	}
	at := time.UnixMilli(now).UTC()
	return changeDoc(tx, &ci.Doc{
		Kind: termKind, ID: termID, Name: termID, Body: body,
		Version: ci.AnyVersion, Updated: at, Due: at.Add(t.Left),
	}, false)
}

// Resign ends the term of this process at once, so that another one need not
// wait. The process must have stopped its work before.
func (db *DB) Resign(ctx context.Context) error {
	s, err := db.postgres()
	if err == nil && s.term > 0 {
		err = db.update(ctx, func(tx *tx) error { return putTerm(tx, Term{Number: s.term}) })
	}
	if err != nil {
		return fmt.Errorf("resign: %w", err)
	}
	return nil
}
