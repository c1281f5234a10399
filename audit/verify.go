package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Damage says where a book is not as it was written. It is [ci.ErrInvalid].
type Damage struct {
	Key  string // of the object, or "the database"
	Line int    // in the object, from 1; 0 is the object as a whole
	Seq  uint64 // the number that the line has or should have
	Says string
}

func (d *Damage) Error() string {
	at := d.Key
	if d.Line > 0 {
		at = fmt.Sprintf("%s, line %d", at, d.Line)
	}
	return fmt.Sprintf("verify the audit log: %s (event %d): %s", at, d.Seq, d.Says)
}

// Unwrap makes it [ci.ErrInvalid].
func (d *Damage) Unwrap() error { return ci.ErrInvalid }

// A Report says what was verified.
type Report struct {
	Files, Checkpoints int
	Lines              uint64
	Head, Root         Hash
	Last               time.Time // of the newest checkpoint
}

// A verifier goes through a book from its first line.
type verifier struct {
	tree tree
	head Hash
	// lines and objects tell of what was found good; nil does not.
	seen func(Line)
}

// next takes the next line.
func (v *verifier) next(key string, n int, text []byte) *Damage {
	want := v.tree.size + 1
	l, err := ParseLine(text)
	switch {
	case err != nil:
		return &Damage{key, n, want, says(err)}
	case l.Seq != want:
		return &Damage{key, n, want, fmt.Sprintf("it has the number %d: lines before it are missing or in another order", l.Seq)}
	case l.Prev != v.head:
		return &Damage{key, n, want, "it does not follow the line before: that was replaced"}
	}
	v.tree.add(l.Hash)
	v.head = l.Hash
	if v.seen != nil {
		v.seen(l)
	}
	return nil
}

// says is the error without its sentinel.
func says(err error) string { return strings.TrimSuffix(err.Error(), ": "+ci.ErrInvalid.Error()) }

// file takes an object.
func (v *verifier) file(ctx context.Context, bucket Bucket, key string) (File, error) {
	f := File{Key: key, First: v.tree.size + 1}
	r, err := bucket.Open(ctx, key)
	if errors.Is(err, ci.ErrNotFound) {
		return f, &Damage{key, 0, f.First, "the file is missing"}
	}
	if err != nil {
		return f, err
	}
	defer r.Close()
	sum := sha256.New()
	count := &counter{}
	n := 0
	for text, err := range rawLines(io.TeeReader(r, io.MultiWriter(sum, count))) {
		n++
		if err != nil && !errors.Is(err, ci.ErrInvalid) {
			return f, fmt.Errorf("read %s: %w", key, err)
		}
		if err != nil {
			return f, &Damage{key, n, v.tree.size + 1, says(err)}
		}
		if d := v.next(key, n, text); d != nil {
			return f, d
		}
	}
	sum.Sum(f.Sum[:0])
	f.Size, f.Last = count.n, v.tree.size
	return f, nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// Verify goes through all files and checkpoints of a bucket, with nothing else
// at hand, and returns what it found. The first thing that is not as it was
// written is a [*Damage]. What it cannot know is whether the newest checkpoints
// were removed together with their files: a copy elsewhere, or the database,
// knows that.
func Verify(ctx context.Context, bucket Bucket, key Key) (Report, error) {
	v := &verifier{}
	r, err := v.verify(ctx, bucket, key)
	return r, err
}

func (v *verifier) verify(ctx context.Context, bucket Bucket, key Key) (r Report, err error) {
	keys, err := key.each()
	if err != nil {
		return r, err
	}
	nextFile, stop := iter.Pull2(bucket.List(ctx, FilePrefix, ""))
	defer stop()
	var last Checkpoint
	var prev Hash
	for note, err := range bucket.List(ctx, CheckpointPrefix, "") {
		if err != nil {
			return r, err
		}
		signed, err := readAll(ctx, bucket, note)
		if err != nil {
			return r, err
		}
		var c Checkpoint
		c, keys, err = openBy(signed, keys)
		if err != nil {
			return r, &Damage{note, 0, v.tree.size + 1, says(err)}
		}
		if c.Number != last.Number+1 || c.Prev != prev {
			return r, &Damage{note, 0, v.tree.size + 1, fmt.Sprintf("checkpoint %d does not follow checkpoint %d", c.Number, last.Number)}
		}
		if c.File != nil {
			if err := v.filed(ctx, bucket, *c.File, nextFile); err != nil {
				return r, err
			}
			r.Files++
		}
		if c.Size != v.tree.size || c.Root != v.tree.root() || c.Head != v.head {
			return r, &Damage{note, 0, v.tree.size, "it does not sign the lines that are there"}
		}
		last, prev = c, sumOf(signed)
		r.Checkpoints++
	}
	r.Lines, r.Head, r.Root, r.Last = v.tree.size, v.head, v.tree.root(), last.Time
	if extra, err, more := nextFile(); more && err == nil {
		return v.unsigned(ctx, bucket, extra, nextFile, r)
	} else if more {
		return r, err
	}
	return r, nil
}

// filed takes the file that a checkpoint came with.
func (v *verifier) filed(ctx context.Context, bucket Bucket, want File, next func() (string, error, bool)) error {
	at, err, more := next()
	if err != nil {
		return err
	}
	if !more || at != want.Key {
		if more && at < want.Key {
			return &Damage{at, 0, v.tree.size + 1, "no checkpoint signs this file"}
		}
		return &Damage{want.Key, 0, want.First, "the file is missing"}
	}
	got, err := v.file(ctx, bucket, want.Key)
	if err != nil {
		return err
	}
	if got.First != want.First || got.Last != want.Last || got.Size != want.Size || got.Sum != want.Sum {
		return &Damage{want.Key, 0, got.Last + 1, fmt.Sprintf("it has the lines %d to %d, and was filed with %d to %d", got.First, got.Last, want.First, want.Last)}
	}
	return nil
}

// unsigned takes a last file without a checkpoint, which a crash may have
// left. It must be good as far as it goes; it does not count.
func (v *verifier) unsigned(ctx context.Context, bucket Bucket, key string, next func() (string, error, bool), r Report) (Report, error) {
	if _, err := v.file(ctx, bucket, key); err != nil {
		return r, err
	}
	if more, err, ok := next(); ok && err == nil {
		return r, &Damage{more, 0, v.tree.size + 1, "no checkpoint signs this file"}
	} else if ok {
		return r, err
	}
	return r, nil
}
