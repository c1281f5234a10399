package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/rondo-ci/rondo/ci"
)

// BeginUpload begins an upload of an object in parts and returns it with its ID
// and a link for each part. A link is good for a while, for that part of that
// upload, and for the bytes of that length and SHA-256: all of this is signed.
// Nobody sees the object before [Store.EndUpload]. The bucket encrypts it as
// [Config] says, without a word from who sends the bytes. See [storage.Direct].
func (s *Store) BeginUpload(ctx context.Context, key string, size int64, u ci.Upload, valid time.Duration) (ci.Upload, error) {
	in := &sdk.CreateMultipartUploadInput{
		Bucket: aws.String(s.cfg.Bucket), Key: aws.String(s.cfg.prefix() + key),
		ContentType: aws.String("application/octet-stream"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		ServerSideEncryption: types.ServerSideEncryption(s.cfg.Encryption),
	}
	if s.cfg.KMSKey != "" {
		in.SSEKMSKeyId = aws.String(s.cfg.KMSKey)
	}
	made, err := s.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return ci.Upload{}, s.checked("begin an upload of", err)
	}
	u.ID, u.Links = aws.ToString(made.UploadId), make([]ci.Link, len(u.Sums))
	for i := range u.Links {
		n := u.Size(i, size)
		signed, err := s.presigner().PresignUploadPart(ctx, &sdk.UploadPartInput{
			Bucket: in.Bucket, Key: in.Key, UploadId: made.UploadId, PartNumber: aws.Int32(int32(i + 1)),
			ContentLength: aws.Int64(n), ChecksumSHA256: aws.String(base64Sum(u.Sums[i])),
		}, sdk.WithPresignExpires(valid))
		if err != nil {
			return ci.Upload{}, s.checked("sign a part of", err)
		}
		u.Links[i] = link(signed)
	}
	return u, nil
}

// EndUpload makes an object of the parts and the tail, unless there is one of
// that key: then it gives the upload up and returns [ci.ErrConflict]. Parts that
// have not arrived, or that the bucket has with another length or SHA-256 than
// u says, are [ci.ErrInvalid], and so is an object that the bucket does not want
// to make of them. An upload that is not known, because it has been ended or
// given up, is [ci.ErrNotFound].
func (s *Store) EndUpload(ctx context.Context, key string, size int64, u ci.Upload, tail []byte) error {
	object := aws.String(s.cfg.prefix() + key)
	parts, err := s.arrived(ctx, object, size, u)
	if err != nil {
		return err
	}
	if len(tail) > 0 {
		n := aws.Int32(int32(len(parts) + 1))
		put, err := s.client.UploadPart(ctx, &sdk.UploadPartInput{
			Bucket: aws.String(s.cfg.Bucket), Key: object, UploadId: aws.String(u.ID), PartNumber: n,
			Body: bytes.NewReader(tail), ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		})
		if err != nil {
			return s.ended(err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: n, ETag: put.ETag, ChecksumSHA256: put.ChecksumSHA256})
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &sdk.CompleteMultipartUploadInput{
		Bucket: aws.String(s.cfg.Bucket), Key: object, UploadId: aws.String(u.ID), IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err = s.ended(err); errors.Is(err, ci.ErrConflict) {
		_, _ = s.client.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{
			Bucket: aws.String(s.cfg.Bucket), Key: object, UploadId: aws.String(u.ID),
		}) // else Sweep does
	}
	return err
}

// arrived returns the parts of an upload, which are all there and what u says.
func (s *Store) arrived(ctx context.Context, object *string, size int64, u ci.Upload) ([]types.CompletedPart, error) {
	parts := make([]types.CompletedPart, 0, len(u.Sums)+1)
	pages := sdk.NewListPartsPaginator(s.client, &sdk.ListPartsInput{
		Bucket: aws.String(s.cfg.Bucket), Key: object, UploadId: aws.String(u.ID),
	})
	for pages.HasMorePages() && len(parts) < len(u.Sums) {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.ended(err)
		}
		for _, p := range page.Parts {
			i := len(parts)
			switch n := int(aws.ToInt32(p.PartNumber)); {
			case i == len(u.Sums): // the tail of an earlier try
				continue
			case n != i+1:
				return nil, fmt.Errorf("part %d has not arrived: %w", i+1, ci.ErrInvalid)
			case aws.ToInt64(p.Size) != u.Size(i, size):
				return nil, fmt.Errorf("part %d has %d bytes instead of %d: %w", n, aws.ToInt64(p.Size), u.Size(i, size), ci.ErrInvalid)
			case aws.ToString(p.ChecksumSHA256) != base64Sum(u.Sums[i]):
				return nil, fmt.Errorf("part %d has other bytes than were announced: %w", n, ci.ErrInvalid)
			}
			parts = append(parts, types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag, ChecksumSHA256: p.ChecksumSHA256})
		}
	}
	if len(parts) < len(u.Sums) {
		return nil, fmt.Errorf("part %d has not arrived: %w", len(parts)+1, ci.ErrInvalid)
	}
	return parts, nil
}

// ended says in the words of ci what the bucket says of the end of an upload.
func (s *Store) ended(err error) error {
	var api smithy.APIError
	if err == nil || !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode() {
	case "NoSuchUpload":
		return fmt.Errorf("it has been ended or given up: %w", ci.ErrNotFound)
	case "PreconditionFailed":
		return fmt.Errorf("it exists: %w", ci.ErrConflict)
	case "EntityTooSmall", "EntityTooLarge", "InvalidPart", "InvalidPartOrder", "InvalidRequest", "InvalidArgument", "NotImplemented":
		return fmt.Errorf("the bucket refuses it: %s: %w", api.ErrorCode(), ci.ErrInvalid)
	}
	return s.checked("end an upload of", err)
}

// LinkObject returns a link that reads the first size bytes of the object,
// which is what is signed. The server is not asked.
func (s *Store) LinkObject(ctx context.Context, key string, size int64, valid time.Duration) (ci.Link, error) {
	signed, err := s.presigner().PresignGetObject(ctx, &sdk.GetObjectInput{
		Bucket: aws.String(s.cfg.Bucket), Key: aws.String(s.cfg.prefix() + key),
		Range: aws.String(fmt.Sprintf("bytes=0-%d", size-1)),
	}, sdk.WithPresignExpires(valid))
	if err != nil {
		return ci.Link{}, s.checked("sign a download of", err)
	}
	return link(signed), nil
}

// presigner signs header fields as such: who holds a link has to send them as
// they are. It adds no checksum of its own, which would be that of no bytes.
func (s *Store) presigner() *sdk.PresignClient {
	return sdk.NewPresignClient(s.client, func(o *sdk.PresignOptions) {
		o.Presigner = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableHeaderHoisting, o.DisableURIPathEscaping = true, true })
		o.ClientOptions = append(o.ClientOptions, func(o *sdk.Options) {
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		})
	})
}

// link is what was signed. Host and length are the client's own to send.
func link(signed *v4.PresignedHTTPRequest) ci.Link {
	l := ci.Link{URL: signed.URL, Header: map[string]string{}}
	for name := range signed.SignedHeader {
		if name := http.CanonicalHeaderKey(name); name != "Host" && name != "Content-Length" {
			l.Header[name] = signed.SignedHeader.Get(name)
		}
	}
	return l
}

// base64Sum is a sum in hex as S3 writes it.
func base64Sum(sum string) string {
	b, _ := hex.DecodeString(sum) // what is no sum matches nothing
	return base64.StdEncoding.EncodeToString(b)
}
