package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Check lets the database look whether it is whole: for SQLite every page,
// index and constraint. Postgres has no such call for a client: it is only asked
// whether it answers. It reads, and takes as long as reading everything does.
func (db *DB) Check(ctx context.Context) error {
	query := "PRAGMA integrity_check(20)"
	if db.listener != nil { // Postgres
		query = "SELECT 'ok'"
	}
	var told []string
	rows, err := db.read.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return fmt.Errorf("check database: %w", err)
		}
		if text != "ok" {
			told = append(told, text)
		}
	}
	if len(told) > 0 {
		return errors.New("the database is damaged: " + strings.Join(told, "; "))
	}
	return rows.Err()
}

// DocKinds returns the kinds of which there are documents, by name.
func (db *DB) DocKinds(ctx context.Context) ([]string, error) {
	var kinds []string
	err := db.reader.rows(ctx, "SELECT DISTINCT kind FROM docs ORDER BY kind", nil, func(r *sql.Rows) error {
		var k string
		if err := r.Scan(&k); err != nil {
			return err
		}
		kinds = append(kinds, k)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("kinds of documents: %w", err)
	}
	return kinds, nil
}
