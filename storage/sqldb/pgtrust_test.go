package sqldb_test

import (
	"context"
	"crypto/x509"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// A Postgres whose authority is private is refused, and taken when the authority
// is trusted, which each new connection asks for.
func TestCRT01_PostgresOfAPrivateAuthority(t *testing.T) {
	address := newDatabase(t)
	ca := withTLS(t)
	ours := x509.NewCertPool()
	require.True(t, ours.AppendCertsFromPEM(ca))
	var roots atomic.Pointer[x509.CertPool]
	roots.Store(x509.NewCertPool())
	cfg := sqldb.Config{Roots: roots.Load, BusyTimeout: time.Second}
	mode := func(m string) string { return strings.Replace(address, "sslmode=disable", "sslmode="+m, 1) }
	for _, m := range []string{"verify-full", "verify-ca"} {
		_, err := sqldb.Open(t.Context(), mode(m), cfg)
		require.ErrorContains(t, err, "certificate signed by unknown authority", m)
	}
	db, err := sqldb.Open(t.Context(), mode("require"), cfg) // which checks nothing, as in libpq
	require.NoError(t, err)
	require.NoError(t, db.Close())
	roots.Store(ours)
	for _, m := range []string{"verify-full", "verify-ca"} {
		db, err := sqldb.Open(t.Context(), mode(m), cfg)
		require.NoError(t, err, m)
		require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: ci.ProjectID(m), Slug: m}))
		require.NoError(t, db.Close())
	}
	other := strings.Replace(mode("verify-full"), "127.0.0.1", "localhost", 1) // the certificate is not for that
	_, err = sqldb.Open(t.Context(), other, cfg)
	require.ErrorContains(t, err, "x509")
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, ca, 0o600))
	roots.Store(x509.NewCertPool())
	db, err = sqldb.Open(t.Context(), mode("verify-full")+"&sslrootcert="+file, cfg) // the address knows better
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// withTLS gives the server of all tests a certificate for 127.0.0.1 and returns
// its authority.
func withTLS(t *testing.T) []byte {
	ca, err := authtest.NewAuthority()
	require.NoError(t, err)
	cert, key, err := ca.Issue(time.Now().Add(time.Hour), "127.0.0.1")
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "rondo-postgres-tls-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, text, 0o600))
		if os.Geteuid() == 0 {
			u, err := user.Lookup("postgres")
			require.NoError(t, err)
			uid, err := strconv.Atoi(u.Uid)
			require.NoError(t, err)
			require.NoError(t, os.Chown(file, uid, -1))
		}
	}
	c := cluster(t)
	require.NoError(t, c.Exec(t.Context(), "postgres",
		"ALTER SYSTEM SET ssl_cert_file = '"+filepath.Join(dir, "cert.pem")+"'",
		"ALTER SYSTEM SET ssl_key_file = '"+filepath.Join(dir, "key.pem")+"'",
		"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"))
	t.Cleanup(func() {
		require.NoError(t, c.Exec(context.WithoutCancel(t.Context()), "postgres", "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"))
	})
	require.Eventually(t, func() bool { // it takes the settings a moment later
		return c.Exec(t.Context(), "postgres", "DO $$ BEGIN IF current_setting('ssl') <> 'on' THEN RAISE EXCEPTION 'off'; END IF; END $$") == nil
	}, 20*time.Second, 10*time.Millisecond)
	return ca.PEM()
}
