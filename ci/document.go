package ci

import (
	"context"
	"iter"
	"time"
)

// A Doc is a small record that one chapter of the installation keeps for
// itself: a context, a schedule, a webhook, a message that waits in an outbox.
// Chapters that need no queries of their own share this one collection, so a
// database has to know nothing about them and a change of several records is
// still one transaction.
type Doc struct {
	// Kind is the chapter's word for what this is ("context", "schedule").
	Kind string
	// ID is unique among the documents of the kind.
	ID string
	// Scope is what the document belongs to: an organisation, a project,
	// another document. Name is unique within kind and scope and orders the
	// listing; "" stands for the ID.
	Scope string
	Name  string
	// Body is the chapter's own JSON, at most [MaxDoc] bytes. It is kept as
	// it is, byte for byte.
	Body []byte
	// Sealed is what of it is encrypted, as text that says by which key.
	// Whoever changes keys seals this part anew without knowing the chapter.
	Sealed string
	// Due is when somebody should look at it; zero is never. It is kept to
	// the millisecond.
	Due time.Time
	// Version counts the writes of the document from 1.
	Version int64
	// Updated is when it was last written, by the clock of the writer (zero is
	// now, by that of the database), and Created the Updated of its first
	// write. Both are kept to the millisecond.
	Created time.Time
	Updated time.Time
}

// MaxDoc is the size in bytes of the largest Body and the largest Sealed.
const MaxDoc = 1 << 20

// A DocChange is one of the writes that [Docs] WriteDocs does at once: Doc as
// it is to be, or with Delete only its Kind, ID and Version.
//
// Version says what the writer has read: 0 that there is no such document, n
// that it is the n-th write of it. When that is not so, nothing is written and
// the answer is [ErrConflict]. [AnyVersion] does not ask.
type DocChange struct {
	Doc    Doc
	Delete bool
}

// AnyVersion as the version of a change stands for whatever is there, or
// nothing.
const AnyVersion = -1

// A DocQuery asks for documents of one kind: those of Scope, by name; or with
// AllScopes all of them, by ID.
type DocQuery struct {
	Kind      string
	Scope     string
	AllScopes bool
	// After and Before bound the names (or IDs), both exclusive; "" does not.
	After  string
	Before string
	// Newest turns the order around, for names that begin with a time.
	Newest bool
	// Limit is the most documents to yield; 0 is all.
	Limit int
}

// Docs keeps documents. Suite citest says what it must do. All methods are
// safe for concurrent use; writes return when they would survive a loss of
// power. What does not exist is [ErrNotFound].
type Docs interface {
	Doc(ctx context.Context, kind, id string) (Doc, error)
	// DocNamed returns the document of that name in the scope.
	DocNamed(ctx context.Context, kind, scope, name string) (Doc, error)
	// Docs yields what the query asks for. Its cost does not grow with what it
	// does not yield.
	Docs(ctx context.Context, q DocQuery) iter.Seq2[Doc, error]
	// DueDocs yields those of a kind whose Due is not after now, the longest
	// overdue first, at most limit (0 is all).
	DueDocs(ctx context.Context, kind string, now time.Time, limit int) iter.Seq2[Doc, error]
	// WriteDocs does all the changes, in order, or none of them, and returns
	// the documents as they are kept now (a deleted one as it was asked for).
	// A name that another document of kind and scope has is [ErrConflict]; a
	// document without kind or ID, or one that is too large, is [ErrInvalid].
	WriteDocs(ctx context.Context, changes ...DocChange) ([]Doc, error)
}

// CountDocs returns how many documents a sequence yields before it ends or
// fails: with a query that has a Limit, whether there is room for one more.
func CountDocs(all iter.Seq2[Doc, error]) (n int, err error) {
	for _, err := range all {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
