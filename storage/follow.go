package storage

import (
	"context"
	"io"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// followChunk is the most that Follow yields at once.
const followChunk = 64 << 10

// Read returns the step's output from the offset on, up to the end that it has
// at the time of the call. A step without output, or none at all, reads as
// empty; an offset beyond the end is [ci.ErrInvalid]. The reader reads from
// disk or bucket as it goes, is for one goroutine, ends with ctx, and must be
// closed. Sealing meanwhile changes nothing for it.
func (l *Logs) Read(ctx context.Context, key ci.LogKey, offset int64) (io.ReadCloser, error) {
	r, err := l.open(ctx, key, offset)
	if err != nil {
		return nil, keyError("read", key, err)
	}
	v, err := r.view(false)
	if err != nil {
		_ = r.Close()
		return nil, keyError("read", key, err)
	}
	r.done()
	r.limit = v.size
	return r, nil
}

// Follow yields the step's output from the offset on, waits for more, and ends
// when [Logs.End] was called for the hand-out and all is read. What it yields
// is durable, complete and in order, without a repeat: a watcher who adds up
// lengths knows the offset to come back with. A slow consumer holds up nobody
// and costs no memory; it reads from disk, or from the bucket. A step that
// does not exist yet is waited for; an offset beyond the end is
// [ci.ErrInvalid].
//
// A chunk has at most 64 KiB and is the consumer's to keep. An error, that of
// ctx included, is yielded once and ends the sequence.
func (l *Logs) Follow(ctx context.Context, key ci.LogKey, offset int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r, err := l.open(ctx, key, offset)
		if err != nil {
			yield(nil, keyError("follow", key, err))
			return
		}
		defer r.Close()
		for {
			chunk, err := r.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, keyError("follow", key, err))
				return
			}
			if !yield(chunk, nil) {
				return
			}
		}
	}
}
