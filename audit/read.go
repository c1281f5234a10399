package audit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// Lines yields the lines after a number, in order, from files and database, up
// to the newest when it gets there. It holds one line in memory at a time.
func (b *Book) Lines(ctx context.Context, after uint64) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for {
			from, more, err := after, true, error(nil)
			give := func(l Line) bool {
				if l.Seq != after+1 {
					err = fmt.Errorf("line %d follows line %d", l.Seq, after)
					return false
				}
				after, more = l.Seq, yield(l, nil)
				return more
			}
			var s shelf
			_, bad := b.load(ctx, kindShelf, &s)
			switch {
			case bad != nil:
			case after < s.Trimmed:
				bad = b.fromFiles(ctx, after, s.Trimmed, give)
			default:
				bad = b.fromDocs(ctx, after, give)
			}
			if err != nil { // lines may have been let go while we read: go on there
				var now shelf
				if _, bad = b.load(ctx, kindShelf, &now); after > from || now.Trimmed > s.Trimmed {
					err = nil
					if bad == nil && after == from {
						continue
					}
				}
			}
			if err = firstOf(bad, err); err != nil {
				yield(Line{}, fmt.Errorf("read the audit log: %w", err))
				return
			}
			if !more || after == from {
				return
			}
		}
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// fromDocs reads lines of the database.
func (b *Book) fromDocs(ctx context.Context, after uint64, give func(Line) bool) error {
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindEntry, AllScopes: true, After: entryID(after)}) {
		if err != nil {
			return err
		}
		l, err := ParseLine(d.Body)
		if err != nil {
			return fmt.Errorf("line %s: %w", d.ID, err)
		}
		if !give(l) {
			return nil
		}
	}
	return nil
}

// fromFiles reads lines of files, to the end of the one that has line upTo.
func (b *Book) fromFiles(ctx context.Context, after, upTo uint64, give func(Line) bool) error {
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindFile, AllScopes: true, After: entryID(after)}) {
		if err != nil {
			return err
		}
		f, err := readFileDoc(d)
		if err != nil {
			return err
		}
		if f.First > upTo {
			return nil
		}
		for l, err := range fileLines(ctx, b.bucket, f.Key) {
			switch {
			case err != nil:
				return err
			case l.Seq <= after:
			case !give(l):
				return nil
			}
		}
	}
	return nil
}

// fileLines yields the lines of an object.
func fileLines(ctx context.Context, bucket Bucket, key string) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		r, err := bucket.Open(ctx, key)
		if err != nil {
			yield(Line{}, err)
			return
		}
		defer r.Close()
		n := 0
		for text, err := range rawLines(r) {
			n++
			var l Line
			if err == nil {
				l, err = ParseLine(text)
			}
			if err != nil {
				yield(l, fmt.Errorf("%s, line %d: %w", key, n, err))
				return
			}
			if l.Text = bytes.Clone(l.Text); !yield(l, nil) {
				return
			}
		}
	}
}

// maxLine is the size in bytes of the largest line: an event with what chains
// it, all of it escaped.
const maxLine = 8 * maxEvent

// rawLines yields lines without their ends. A last one that has none is
// [ci.ErrInvalid], and so is one that is too long. The text is good until the
// next one.
func rawLines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		in := bufio.NewReaderSize(r, 1<<20)
		var long []byte
		for {
			part, err := in.ReadSlice('\n')
			switch {
			case err == nil && long == nil:
				if !yield(part[:len(part)-1], nil) {
					return
				}
			case err == nil:
				long = append(long, part...)
				if !yield(long[:len(long)-1], nil) {
					return
				}
				long = nil
			case err == bufio.ErrBufferFull && len(long) < maxLine:
				long = append(long, part...)
			case err == bufio.ErrBufferFull:
				yield(nil, fmt.Errorf("it is longer than %d bytes: %w", maxLine, ci.ErrInvalid))
				return
			case err == io.EOF && len(part) == 0 && long == nil:
				return
			case err == io.EOF:
				yield(nil, fmt.Errorf("it has no end: %w", ci.ErrInvalid))
				return
			default:
				yield(nil, err)
				return
			}
		}
	}
}

// FileLines yields all lines of the files of a bucket, in order, with no
// database at hand.
func FileLines(ctx context.Context, bucket Bucket) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for key, err := range bucket.List(ctx, FilePrefix, "") {
			if err != nil {
				yield(Line{}, err)
				return
			}
			for l, err := range fileLines(ctx, bucket, key) {
				if !yield(l, err) || err != nil {
					return
				}
			}
		}
	}
}
