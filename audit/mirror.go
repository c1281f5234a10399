package audit

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// mirrorEvery is how often a mirror looks for new objects.
const mirrorEvery = 30 * time.Second

// Mirror copies the objects of the book, files and checkpoints, to another
// bucket, under the same names, until ctx ends; then it returns nil. Whoever
// owns the book but not that bucket cannot rewrite both. Objects that are
// there are left as they are.
func (b *Book) Mirror(ctx context.Context, name string, to Bucket) error {
	pause := minRest
	for ctx.Err() == nil {
		err := b.CopyTo(ctx, to)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			b.log.Warn("audit log: copy files, will try again", "sink", name, "wait", pause, "err", err)
			b.noteSink(name, func(s *ci.AuditSink) { s.Problem = err.Error() })
			rest(ctx, pause)
			pause = min(2*pause, maxRest)
			continue
		}
		var s shelf
		if _, err := b.load(ctx, kindShelf, &s); err == nil {
			b.noteSink(name, func(a *ci.AuditSink) { a.Sent, a.Problem = s.Last, "" })
		}
		pause = minRest
		rest(ctx, mirrorEvery)
	}
	return nil
}

// CopyTo copies what the other bucket does not have, once.
func (b *Book) CopyTo(ctx context.Context, to Bucket) error {
	for _, prefix := range []string{FilePrefix, CheckpointPrefix} {
		there := ""
		for k, err := range to.List(ctx, prefix, "") {
			if err != nil {
				return err
			}
			there = k
		}
		for k, err := range b.bucket.List(ctx, prefix, there) {
			if err != nil {
				return err
			}
			data, err := readAll(ctx, b.bucket, k)
			if err != nil {
				return err
			}
			if err := to.Create(ctx, k, data); err != nil && !errors.Is(err, ci.ErrConflict) {
				return err
			}
		}
	}
	return nil
}
