package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-ci/rondo/ci"
)

// Config holds what a [Book] can do without.
type Config struct {
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// May says whether the actor may read the book; nil lets everybody.
	May func(ctx context.Context, by ci.Actor) error
	// MaxWaiting is how many events may wait to be filed before strict acts
	// are refused; 0 is 1,000,000. At half of it they are filed before the
	// hour is over.
	MaxWaiting uint64
	// MaxFile is the size in bytes at which a file is closed before the hour
	// is over; 0 is 64 MB.
	MaxFile int64
	// Hot is how long events stay in the database after they were filed, where
	// looking for them is fast; 0 is 30 days. Files stay for ever.
	Hot time.Duration
	// CheckEvery is how often [Book.Run] verifies the whole book; 0 is a day.
	CheckEvery time.Duration
	// Earlier are the public keys that signed checkpoints before the signer's;
	// "" is none.
	Earlier Key
}

// A Book is the record of who did what. Any number of books, in as many
// processes, may share a database and bucket. All methods are safe for
// concurrent use.
type Book struct {
	docs   ci.Docs
	bucket Bucket
	signer *Signer
	cfg    Config
	log    *slog.Logger

	fresh   atomic.Int64  // drafts since the last pass
	waiting atomic.Uint64 // unfiled at the last pass

	mu      sync.Mutex
	state   ci.AuditState // what Check found
	sinks   map[string]ci.AuditSink
	checked sync.Mutex // one check at a time
}

// New returns the book over documents and a bucket; the signer signs its
// checkpoints. It does nothing by itself until [Book.Run] is called.
func New(docs ci.Docs, bucket Bucket, signer *Signer, cfg Config) *Book {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.May == nil {
		cfg.May = func(context.Context, ci.Actor) error { return nil }
	}
	if cfg.MaxWaiting == 0 {
		cfg.MaxWaiting = 1_000_000
	}
	if cfg.MaxFile == 0 {
		cfg.MaxFile = 64 << 20
	}
	if cfg.Hot == 0 {
		cfg.Hot = 30 * 24 * time.Hour
	}
	if cfg.CheckEvery == 0 {
		cfg.CheckEvery = 24 * time.Hour
	}
	return &Book{docs: docs, bucket: bucket, signer: signer, cfg: cfg, log: cfg.Log, sinks: map[string]ci.AuditSink{}}
}

// keys are all public keys that checkpoints were signed with.
func (b *Book) keys() Key { return b.cfg.Earlier.Then(b.signer.Key()) }

// The kinds of documents.
const (
	kindOutbox = "audit-outbox" // events without a number, named by time
	kindEntry  = "audit-entry"  // lines, by number
	kindHead   = "audit-head"   // the end of the chain
	kindShelf  = "audit-shelf"  // how far lines are filed
	kindFile   = "audit-file"   // the files, by the number of their last line
	kindCursor = "audit-cursor" // how far followers and sinks have read
)

// Draft returns the change that puts the act on record, to be written in the
// transaction of the act. While the book is full a strict act is refused with
// [ci.ErrConflict]. An act that no event can be made of is [ci.ErrInvalid].
func (b *Book) Draft(ctx context.Context, act ci.Act) ([]ci.DocChange, error) {
	known, found := Find(act.Action)
	if waits := b.waiting.Load() + uint64(max(b.fresh.Load(), 0)); waits >= b.cfg.MaxWaiting && (!found || known.Strict) {
		return nil, fmt.Errorf("the audit log is full, %d events wait for its bucket; see that it can be written: %w", waits, ci.ErrConflict)
	}
	if act.Request == (ci.Request{}) {
		act.Request = ci.RequestIn(ctx)
	}
	e, err := compose(act, time.Now())
	if err != nil {
		return nil, err
	}
	change, err := outbox(e, 0)
	if err != nil {
		return nil, err
	}
	b.fresh.Add(1)
	return []ci.DocChange{change}, nil
}

// outbox returns the write of an event that has no number yet. Events of the
// same time are numbered in the order of their place.
func outbox(e Event, place uint64) (ci.DocChange, error) {
	body, err := encode(e)
	if err != nil {
		return ci.DocChange{}, err
	}
	name := fmt.Sprintf("%020d-%020d-%s", e.Occurred.UnixNano(), place, e.ID)
	return ci.DocChange{Doc: ci.Doc{Kind: kindOutbox, ID: e.ID, Name: name, Body: body}}, nil
}

// Record puts an act on record that changes no document, and returns when it
// would survive a loss of power. Its error refuses the act.
func (b *Book) Record(ctx context.Context, act ci.Act) error {
	changes, err := b.Draft(ctx, act)
	if err == nil {
		_, err = b.docs.WriteDocs(ctx, changes...)
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", act.Action, err)
	}
	return nil
}

// pass is how long the sealer rests between two looks at the outbox.
const pass = 300 * time.Millisecond

// Run numbers, files and verifies until ctx ends; then it returns nil. Several
// may run at once: each step is taken by one of them.
func (b *Book) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for ctx.Err() == nil {
			wait := pass
			if err := b.Seal(ctx, time.Now()); err != nil && ctx.Err() == nil {
				b.log.Error("audit log: seal events, will try again", "err", err)
				wait = 5 * time.Second
			}
			rest(ctx, wait)
		}
		// What is left is numbered, for those who read the book offline.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, err := b.number(last); err != nil && !errors.Is(err, ci.ErrConflict) {
			b.log.Warn("audit log: number the last events; the next start does it", "err", err)
		}
		return nil
	})
	g.Go(func() error {
		rest(ctx, 10*time.Second) // the server starts first
		for ctx.Err() == nil {
			if _, err := b.Check(ctx); err != nil && ctx.Err() == nil {
				b.log.Error("audit log: verify", "err", err)
			}
			rest(ctx, b.cfg.CheckEvery)
		}
		return nil
	})
	return g.Wait()
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Seal is one pass: it numbers what the outbox has, files what is due at the
// time, and lets go of lines that have been filed for long. It is what Run
// does all the time, for those who need it done now.
func (b *Book) Seal(ctx context.Context, now time.Time) error {
	for {
		n, err := b.number(ctx)
		if err != nil && !errors.Is(err, ci.ErrConflict) {
			return err
		}
		if err == nil && n < batch {
			break
		}
	}
	err := b.file(ctx, now)
	if errors.Is(err, errOvertaken) {
		return nil // another process files
	}
	return err
}
