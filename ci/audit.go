package ci

import (
	"context"
	"time"
)

// An Act is something that somebody did or tried to do, as a room hands it to
// whoever keeps the book of who did what.
type Act struct {
	// Action is dotted words in lower case, what is acted upon first:
	// "context.create". Those that only Rondo has begin with "rondo.".
	Action string
	Actor  Actor
	// Target says what was acted upon: its "type", "id", "name" and the slug
	// of its organisation, "org", and what else the action has to tell. It has
	// names and identities, never values of secrets.
	Target map[string]string
	// Success says that it was done; else Reason says why it was not.
	Success bool
	Reason  string
	// At is when it was done; zero is now.
	At time.Time
	// Request is what asked for it; the zero one is that of the context.
	Request Request
}

// A Request is a call from outside, for the events that it causes.
type Request struct {
	// ID is the name of the request, as its reply shows it in X-Request-Id.
	ID string
	// Address is the IP address that it came from, Trace the client's own name
	// for it, from the field X-Client-Trace-Id.
	Address string
	Trace   string
	// Actor is who sent it.
	Actor Actor
}

// requestKey is where the request stands in a context.
type requestKey struct{}

// WithRequest returns a context in which what is done is done for the request.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestIn returns the request of [WithRequest], or the zero one.
func RequestIn(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	return r
}

// An AuditQuery asks for events of the book. What is zero does not narrow it.
type AuditQuery struct {
	// Action is an action, or several with * for any characters, as in
	// "workflow.job.*".
	Action string
	// Actor and Target are identities or names, whole.
	Actor  string
	Target string
	// From and To bound when it happened, From inclusive.
	From, To time.Time
	// Text is anywhere in the event, in any case.
	Text string
	// Before is the number of an event: only older ones are wanted.
	Before uint64
	// Limit is the most events to return; 0 is 100.
	Limit int
}

// An AuditEntry is one event of the book: its number in it, from 1, and its
// line, a JSON object with the documented fields.
type AuditEntry struct {
	Seq  uint64
	Line []byte
}

// An AuditState says how the book stands.
type AuditState struct {
	// Entries is how many events it has, Filed how many of them are in files
	// of the bucket, Waiting how many have no number yet.
	Entries, Filed, Waiting uint64
	// Head is the hash of the newest event in hexadecimal, and Key the name
	// and public key that checkpoints are signed with.
	Head, Key string
	// Checked is when all of it was last verified, zero is never; Problem is
	// what was wrong then, "" is nothing.
	Checked time.Time
	Problem string
	// Sinks are where events are sent, by name.
	Sinks []AuditSink
}

// An AuditSink says how far a sink has got.
type AuditSink struct {
	Name string
	// Sent is the number of the last event that it took, Lag how many it lacks.
	Sent, Lag uint64
	// Problem is why it takes none, "" while it does.
	Problem string
}
