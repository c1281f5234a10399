// Package audit is the book of who did what.
//
// Its nouns: an [Event] is one act in the documented form; a [Book] takes
// events, numbers them, chains them by hash and files them as objects in a
// [Bucket]; a [Stream] sends them on to a [Sink].
//
// An event begins as a document of kind audit-outbox that is written in the
// transaction of its act. One sealer at a time drains the outbox in order: it
// gives each event its number, the hash of the line before and its own, and
// keeps the line (kind audit-entry). Once an hour, or when there are 64 MB,
// the lines become an object below audit-logs/audit_log/v1/, which is never
// written again, and a signed [Checkpoint] over all lines so far is put beside
// it. [Verify] finds the first line that is not as it was written.
//
// The room never drops an event and never writes one twice under two names.
// When its bucket is away, events wait in the database; when more wait than
// [Config] allows, acts of the actions marked strict are refused. It knows no
// secrets: what it is handed has names and identities only.
package audit
