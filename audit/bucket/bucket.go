// Package bucket is the bucket of an audit log over gocloud.dev/blob: a folder,
// S3, or whatever else that has a driver for. Its one noun is [Bucket]. It
// never writes an object over another one.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/rondo-ci/rondo/ci"
)

// A Bucket keeps the objects of an audit log. It is safe for concurrent use.
type Bucket struct{ blob *blob.Bucket }

// New returns the bucket over another, which must know IfNotExist.
func New(b *blob.Bucket) *Bucket { return &Bucket{b} }

// Create writes an object that must not be there, or [ci.ErrConflict].
func (b *Bucket) Create(ctx context.Context, key string, data []byte) error {
	err := b.blob.WriteAll(ctx, key, data, &blob.WriterOptions{ContentType: "application/x-ndjson", IfNotExist: true})
	return known("create", key, err)
}

// Open reads an object, or [ci.ErrNotFound].
func (b *Bucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := b.blob.NewReader(ctx, key, nil)
	if err != nil {
		return nil, known("open", key, err)
	}
	return r, nil
}

// List yields the names with the prefix after a name, in order.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		all := b.blob.List(&blob.ListOptions{Prefix: prefix})
		for {
			o, err := all.Next(ctx)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield("", known("list", prefix, err))
				return
			case o.IsDir || o.Key <= after:
			case !yield(o.Key, nil):
				return
			}
		}
	}
}

// known gives an error its sentinel.
func known(what, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case gcerrors.Code(err) == gcerrors.NotFound:
		return fmt.Errorf("%s %s: %w", what, key, ci.ErrNotFound)
	case gcerrors.Code(err) == gcerrors.FailedPrecondition, gcerrors.Code(err) == gcerrors.AlreadyExists:
		return fmt.Errorf("%s %s: there is an object of this name: %w", what, key, ci.ErrConflict)
	}
	return fmt.Errorf("%s %s: %w", what, key, err)
}
