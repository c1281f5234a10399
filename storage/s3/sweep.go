package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/rondo-ci/rondo/ci"
)

// MaxUpload is how old an upload that is not completed may get; a crash has
// left it, and nobody sees it, but it is paid for.
const MaxUpload = 24 * time.Hour

// Sweep gives up the uploads under the prefix that were begun before the time
// and are not completed, and returns how many.
func (s *Store) Sweep(ctx context.Context, before time.Time) (int, error) {
	return s.sweep(ctx, "", before)
}

// sweep is Sweep for the keys that begin with the name.
func (s *Store) sweep(ctx context.Context, name string, before time.Time) (int, error) {
	n := 0
	pages := sdk.NewListMultipartUploadsPaginator(s.client, &sdk.ListMultipartUploadsInput{
		Bucket: aws.String(s.cfg.Bucket), Prefix: aws.String(s.cfg.prefix() + name),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return n, fmt.Errorf("list uploads that are not completed: %w", err)
		}
		for _, u := range page.Uploads {
			if !aws.ToTime(u.Initiated).Before(before) {
				continue
			}
			_, err := s.client.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{
				Bucket: aws.String(s.cfg.Bucket), Key: u.Key, UploadId: u.UploadId,
			})
			var api smithy.APIError
			switch {
			case err == nil:
				n++
			case errors.As(err, &api) && api.ErrorCode() == "NoSuchUpload": // another server was faster
			default:
				return n, fmt.Errorf("give up an upload: %w", err)
			}
		}
	}
	return n, nil
}

// Run sweeps at once and each hour, until ctx ends; then it returns nil. tell
// gets what went wrong; it goes on.
func (s *Store) Run(ctx context.Context, tell func(error)) error {
	hour := time.NewTicker(time.Hour)
	defer hour.Stop()
	for ctx.Err() == nil {
		if _, err := s.Sweep(ctx, time.Now().Add(-MaxUpload)); err != nil && ctx.Err() == nil {
			tell(err)
		}
		select {
		case <-ctx.Done():
		case <-hour.C:
		}
	}
	return nil
}

// Check tries the bucket: it writes an object, sees that it cannot be written
// a second time, reads, lists and removes it. A server that lets it be written
// over does not know conditional writes and is [ci.ErrInvalid]: two servers
// would overwrite each other's files there.
func (s *Store) Check(ctx context.Context) error {
	key := "rondo-check/" + ci.NewID()
	once := &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true}
	if err := s.blobs.WriteAll(ctx, key, []byte("first"), once); err != nil {
		return s.checked("write", err)
	}
	defer func() { _ = s.blobs.Delete(context.WithoutCancel(ctx), key) }()
	switch err := s.blobs.WriteAll(ctx, key, []byte("second"), once); gcerrors.Code(err) {
	case gcerrors.FailedPrecondition:
	case gcerrors.OK:
		return s.checked("write", fmt.Errorf("the server does not know conditional writes (If-None-Match): %w", ci.ErrInvalid))
	default:
		return s.checked("write again", err)
	}
	text, err := s.blobs.ReadAll(ctx, key)
	if err == nil && string(text) != "first" {
		err = errors.New("it has other bytes")
	}
	if err != nil {
		return s.checked("read", err)
	}
	if _, err := s.blobs.List(&blob.ListOptions{Prefix: key}).Next(ctx); err != nil {
		return s.checked("list", err)
	}
	if err := s.blobs.Delete(ctx, key); err != nil {
		return s.checked("remove", err)
	}
	return nil
}

func (s *Store) checked(what string, err error) error {
	return fmt.Errorf("bucket %s: %s an object: %w", s.cfg.Bucket, what, err)
}
