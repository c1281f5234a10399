package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/rondo-ci/rondo/ci"
)

// Ready says whether the last [Store.TryLinks] was good; before that it is not.
func (s *Store) Ready() bool { return s.ready.Load() }

// TryLinks finds out whether files may go to this bucket and from it by links,
// by doing it from here with an object that it removes again: the bucket must
// take a part by its link, refuse other bytes than were signed, not make an
// object that exists, and give bytes by a link. [ci.ErrInvalid] says what it
// does not do, any other error that it could not be asked. It may be called
// again.
func (s *Store) TryLinks(ctx context.Context) error {
	err := s.tryLinks(ctx)
	if s.ready.Store(err == nil); err != nil {
		return fmt.Errorf("bucket %s: links: %w", s.cfg.Bucket, err)
	}
	return nil
}

func (s *Store) tryLinks(ctx context.Context) error {
	key := "rondo-check/" + ci.NewID()
	first, second := bytes.Repeat([]byte("1"), 64), bytes.Repeat([]byte("2"), 64)
	hash := sha256.Sum256(first)
	size := int64(len(first))
	begun, err := s.BeginUpload(ctx, key, size, ci.Upload{Part: size, Sums: []string{hex.EncodeToString(hash[:])}}, time.Minute)
	if err != nil {
		return unfit("begin an upload", err)
	}
	defer s.forget(context.WithoutCancel(ctx), key)
	switch code, _, err := s.follow(ctx, http.MethodPut, begun.Links[0], second); {
	case err != nil:
		return err
	case code/100 == 2:
		return fmt.Errorf("the server does not check the SHA-256 of a part: %w", ci.ErrInvalid)
	}
	for _, want := range []error{nil, ci.ErrConflict} {
		u, err := s.BeginUpload(ctx, key, size, begun, time.Minute)
		if err != nil {
			return unfit("begin an upload", err)
		}
		switch code, _, err := s.follow(ctx, http.MethodPut, u.Links[0], first); {
		case err != nil:
			return err
		case code/100 != 2:
			return fmt.Errorf("the server answers a presigned PUT with %d: %w", code, ci.ErrInvalid)
		}
		switch err := s.EndUpload(ctx, key, size, u, nil); {
		case want != nil && err == nil:
			return fmt.Errorf("the server does not know If-None-Match at the end of an upload: %w", ci.ErrInvalid)
		case !errors.Is(err, want):
			return unfit("end an upload", err)
		}
	}
	l, err := s.LinkObject(ctx, key, size/2, time.Minute)
	if err != nil {
		return err
	}
	switch code, got, err := s.follow(ctx, http.MethodGet, l, nil); {
	case err != nil:
		return err
	case code != http.StatusPartialContent || !bytes.Equal(got, first[:size/2]):
		return fmt.Errorf("the server answers a presigned GET of a range with %d: %w", code, ci.ErrInvalid)
	}
	return nil
}

// forget removes what was made of the key, and what was begun.
func (s *Store) forget(ctx context.Context, key string) {
	_ = s.blobs.Delete(ctx, key)
	_, _ = s.sweep(ctx, key, time.Now().Add(time.Hour))
}

// follow does what a link is for. A server that is busy or away is an error.
func (s *Store) follow(ctx context.Context, method string, l ci.Link, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, l.URL, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errors.New("the link is no address")
	}
	for name, value := range l.Header {
		req.Header.Set(name, value)
	}
	res, err := s.http.Do(req)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the link, which is secret
		}
		return 0, nil, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err == nil && (res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests) {
		err = fmt.Errorf("the server answers %d", res.StatusCode)
	}
	return res.StatusCode, got, err
}

// unfit makes an error [ci.ErrInvalid] if the server has refused a request and
// would refuse it again.
func unfit(what string, err error) error {
	var reply *awshttp.ResponseError
	if errors.As(err, &reply) && reply.HTTPStatusCode()/100 == 4 && reply.HTTPStatusCode() != http.StatusTooManyRequests {
		return fmt.Errorf("%s: %w: %w", what, err, ci.ErrInvalid)
	}
	return fmt.Errorf("%s: %w", what, err)
}
