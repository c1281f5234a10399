package orb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// tables creates what a [Registry] needs. It is portable: SQLite and Postgres.
const tables = `
CREATE TABLE IF NOT EXISTS orb_namespaces (
	namespace TEXT PRIMARY KEY,
	owner     TEXT NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS orb_versions (
	name      TEXT NOT NULL,
	version   TEXT NOT NULL,
	source    TEXT NOT NULL,
	published BIGINT NOT NULL,
	PRIMARY KEY (name, version)
)`

// Config holds what a [Registry] can do without.
type Config struct {
	// DevAge is how long a development version is kept after its last
	// publication; 0 is 90 days.
	DevAge time.Duration
	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// A Registry keeps orbs in a SQL database. Releases never change;
// development versions are replaced at will and expire. A namespace belongs to
// one owner (an organisation), and an owner has one namespace. All methods are
// safe for concurrent use, also by several processes on one database.
type Registry struct {
	db  *sql.DB
	cfg Config
}

// Open returns the registry in a database and creates its tables where they
// are missing. The database stays the caller's to close.
func Open(ctx context.Context, db *sql.DB, cfg Config) (*Registry, error) {
	if cfg.DevAge <= 0 {
		cfg.DevAge = 90 * 24 * time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	for statement := range strings.SplitSeq(tables, ";") {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, fmt.Errorf("create orb tables: %w", err)
		}
	}
	return &Registry{db: db, cfg: cfg}, nil
}

// Claim gives a namespace to an owner. Twice is no error; a namespace of
// somebody else, or a second one, is [ci.ErrConflict].
func (r *Registry) Claim(ctx context.Context, namespace, owner string) error {
	if !validName(namespace+"/x") || owner == "" {
		return fmt.Errorf("claim namespace %.100q: %w", namespace, ci.ErrInvalid)
	}
	_, err := r.db.ExecContext(ctx, `INSERT INTO orb_namespaces (namespace, owner) VALUES ($1, $2) ON CONFLICT DO NOTHING`, namespace, owner)
	if err != nil {
		return fmt.Errorf("claim namespace %s: %w", namespace, err)
	}
	if err := r.owns(ctx, namespace, owner); err != nil {
		return fmt.Errorf("claim namespace %s: it or another one is taken: %w", namespace, ci.ErrConflict)
	}
	return nil
}

// owns returns an error when the namespace is not the owner's.
func (r *Registry) owns(ctx context.Context, namespace, owner string) error {
	var has string
	err := r.db.QueryRowContext(ctx, `SELECT owner FROM orb_namespaces WHERE namespace = $1`, namespace).Scan(&has)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("namespace %s: %w", namespace, ci.ErrNotFound)
	case err != nil:
		return fmt.Errorf("namespace %s: %w", namespace, err)
	case has != owner:
		return fmt.Errorf("namespace %s: %w", namespace, ci.ErrDenied)
	}
	return nil
}

// Publish adds an exact version (ns/name@1.2.3) or replaces a development
// version (ns/name@dev:label). The same release with the same source again is
// no error, with another source it is [ci.ErrConflict]. The namespace has to
// be the owner's, else [ci.ErrDenied].
func (r *Registry) Publish(ctx context.Context, owner, ref string, source []byte) error {
	p, err := Parse(ref)
	if err != nil {
		return err
	}
	dev := strings.HasPrefix(p.Version, "dev:")
	if !dev && !releasePattern.MatchString(p.Version) || len(source) == 0 || len(source) > maxFile {
		return fmt.Errorf("publish orb %s: an exact version and up to %d bytes of source are needed: %w", ref, maxFile, ci.ErrInvalid)
	}
	namespace, _, _ := strings.Cut(p.Name, "/")
	if err := r.owns(ctx, namespace, owner); err != nil {
		return fmt.Errorf("publish orb %s: %w", ref, err)
	}
	now := r.cfg.Now().UnixMilli()
	insert := `INSERT INTO orb_versions (name, version, source, published) VALUES ($1, $2, $3, $4)`
	if dev {
		_, err = r.db.ExecContext(ctx, insert+` ON CONFLICT (name, version) DO UPDATE SET source = excluded.source, published = excluded.published`,
			p.Name, p.Version, string(source), now)
	} else {
		_, err = r.db.ExecContext(ctx, insert+` ON CONFLICT DO NOTHING`, p.Name, p.Version, string(source), now)
	}
	if err != nil {
		return fmt.Errorf("publish orb %s: %w", ref, err)
	}
	if !dev {
		stored, err := r.source(ctx, p)
		if err != nil {
			return fmt.Errorf("publish orb %s: %w", ref, err)
		}
		if string(stored) != string(source) {
			return fmt.Errorf("publish orb %s: a release never changes: %w", ref, ci.ErrConflict)
		}
		return nil
	}
	_, err = r.db.ExecContext(ctx, `DELETE FROM orb_versions WHERE version LIKE 'dev:%' AND published < $1`, r.oldest())
	if err != nil {
		return fmt.Errorf("expire development orbs: %w", err)
	}
	return nil
}

// A Part says which number of a version goes up.
type Part int

// The parts of a version.
const (
	Major Part = iota
	Minor
	Patch
)

// Promote publishes the source of a development version as the next release:
// the newest one with that part higher by one. It returns the new reference.
// Of two promotions at once one may get [ci.ErrConflict].
func (r *Registry) Promote(ctx context.Context, owner, name, label string, part Part) (string, error) {
	dev := Ref{Name: name, Version: "dev:" + label}
	_, source, err := r.Orb(ctx, dev.String())
	if err != nil {
		return "", fmt.Errorf("promote orb %s: %w", dev, err)
	}
	versions, err := r.versions(ctx, name)
	if err != nil {
		return "", fmt.Errorf("promote orb %s: %w", dev, err)
	}
	newest, ok := Ref{Name: name, Version: "volatile"}.Choose(versions)
	if !ok {
		newest = "0.0.0"
	}
	next := Ref{Name: name, Version: increment(newest, part)}.String()
	return next, r.Publish(ctx, owner, next, source)
}

// Orb returns the source of the orb that ref names and the exact reference
// that was chosen. An orb or version that does not exist, or has expired, is
// [ci.ErrNotFound].
func (r *Registry) Orb(ctx context.Context, ref string) (resolved string, source []byte, err error) {
	p, err := Parse(ref)
	if err != nil {
		return "", nil, err
	}
	versions, err := r.versions(ctx, p.Name)
	if err != nil {
		return "", nil, fmt.Errorf("orb %s: %w", ref, err)
	}
	version, ok := p.Choose(versions)
	if !ok {
		return "", nil, fmt.Errorf("orb %s: %w", ref, ci.ErrNotFound)
	}
	p.Version = version
	source, err = r.source(ctx, p)
	if err != nil {
		return "", nil, fmt.Errorf("orb %s: %w", ref, err)
	}
	return p.String(), source, nil
}

// Refs yields the exact references of all orbs, by name.
func (r *Registry) Refs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		rows, err := r.db.QueryContext(ctx, `SELECT name, version FROM orb_versions WHERE version NOT LIKE 'dev:%' OR published >= $1 ORDER BY name, published, version`, r.oldest())
		if err != nil {
			yield("", fmt.Errorf("list orbs: %w", err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var p Ref
			if err := rows.Scan(&p.Name, &p.Version); err != nil {
				yield("", fmt.Errorf("list orbs: %w", err))
				return
			}
			if !yield(p.String(), nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield("", fmt.Errorf("list orbs: %w", err))
		}
	}
}

// oldest is when a development version has to be published to be alive, in
// milliseconds since 1970.
func (r *Registry) oldest() int64 { return r.cfg.Now().Add(-r.cfg.DevAge).UnixMilli() }

// versions lists the versions of an orb that are alive.
func (r *Registry) versions(ctx context.Context, name string) ([]string, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT version FROM orb_versions WHERE name = $1 AND (version NOT LIKE 'dev:%' OR published >= $2)`, name, r.oldest())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// source reads one version.
func (r *Registry) source(ctx context.Context, p Ref) ([]byte, error) {
	var s string
	err := r.db.QueryRowContext(ctx, `SELECT source FROM orb_versions WHERE name = $1 AND version = $2`, p.Name, p.Version).Scan(&s)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ci.ErrNotFound
	}
	return []byte(s), err
}
