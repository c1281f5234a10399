package auth_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// BenchmarkSession is what a page pays for knowing who asks, over SQLite.
func BenchmarkSession(b *testing.B) {
	db, err := sqldb.Open(b.Context(), filepath.Join(b.TempDir(), "db"), sqldb.Config{})
	require.NoError(b, err)
	defer db.Close()
	p := newPlace(db)
	_, secret, err := p.users.Enter(b.Context(), auth.Identity{Provider: "ldap", Subject: "1", Login: "ada"}, auth.Visit{})
	require.NoError(b, err)
	for b.Loop() {
		if _, _, err := p.users.Session(b.Context(), secret); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLogin_Local is the price of a password.
func BenchmarkLogin_Local(b *testing.B) {
	db, err := sqldb.Open(b.Context(), filepath.Join(b.TempDir(), "db"), sqldb.Config{})
	require.NoError(b, err)
	defer db.Close()
	local := auth.NewLocal(db)
	_, err = local.SetPassword(b.Context(), "ada", "correct horse battery")
	require.NoError(b, err)
	for b.Loop() {
		if _, err := local.Login(b.Context(), "ada", "correct horse battery"); err != nil {
			b.Fatal(err)
		}
	}
}
