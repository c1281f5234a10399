package sqldb

import "testing"

// DatabaseForTest returns what makes an empty Postgres database. It is set by
// the tests outside of the package.
var DatabaseForTest func(t *testing.T) func(*testing.T) string
