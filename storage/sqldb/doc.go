// Package sqldb keeps the records of Rondo in a database: SQLite in a file, by
// the pure Go driver modernc.org/sqlite, or a Postgres, by
// github.com/jackc/pgx/v5.
//
// A [DB] is a [ci.Store] and a [ci.Records], and its [Backlog] is what the
// scheduler keeps its tickets in. What they promise is written there and
// checked by the suites of package citest, which storage/memdb passes too.
//
// Every write is one transaction, and a method returns when it is on the disk.
// Writes take turns. Those that arrive while another is being synced to the
// disk share the next transaction, each as a savepoint of its own, so that one
// sync serves them all and each still happens whole or not at all. Reads have
// connections of their own and wait for no one.
//
// Nothing is kept in memory between calls that the database does not say, so
// a process may be killed at any instant, and a second one on the same file
// would do no harm. Statements are prepared once, on first use. All that
// depends on SQLite stands in sqlite.go and in the folder migrations/sqlite,
// all that depends on Postgres in the files pg*.go and postgres.go and in
// migrations/postgres; the rest is SQL that both understand.
//
// On Postgres the writers of all processes take turns by an advisory lock, so
// there too numbers are handed out in the order of commit, and what a change
// reads is not changed under it. While the server is away calls wait, up to
// Config.BusyTimeout, and then do their work anew; a commit whose answer was
// lost is looked up, not guessed (see pgsession.go). NOTIFY wakes those who
// wait for events of other processes; that they ask twice a second anyway is
// what they rely on. With [DB.Conduct] a process writes only for as long as
// it conducts, which is how two servers share a Postgres.
//
// Besides the driver the package uses github.com/pressly/goose/v3 to bring a
// database to the edition this binary knows, and only if it is older, and
// github.com/klauspost/compress for plans and test results, which repeat
// themselves a lot.
//
// The package never starts a goroutine that outlives [DB.Close], never removes
// what it was given except by replacing it, and holds no rule about the
// nouns: those are in package ci.
package sqldb
