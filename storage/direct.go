package storage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

const (
	// MinDirect is the size in bytes from which on a file may go to the bucket
	// directly. Below, the calls for it cost more than the bytes; and no part of
	// an object at S3 but the last may have less than 5 MiB, see minPart.
	MinDirect = 8 << 20
	// MaxLinkTime is how long a link is good for, at most.
	MaxLinkTime = 12 * time.Hour

	minPart  = 5 << 20
	maxPart  = 5 << 30
	maxParts = 9_999 // and the trailer

	// linkTime is how long a link is good for, and linkSpeed, in bytes a
	// second, what a slow sender needs beyond that.
	linkTime  = 15 * time.Minute
	linkSpeed = 2 << 20
)

// Direct is a way to the objects of a bucket for others than this process, by
// links that are good for a while. A store of storage/s3 is one.
type Direct interface {
	// Ready says whether it can be used at the moment.
	Ready() bool
	// BeginUpload begins an upload of size bytes in u.Sums parts. It returns u
	// with its ID and a link for each part, good for the bytes of that length
	// and SHA-256 only.
	BeginUpload(ctx context.Context, key string, size int64, u ci.Upload, valid time.Duration) (ci.Upload, error)
	// EndUpload makes the object of the parts and of tail behind them, if they
	// have all arrived and are what u says; else it is [ci.ErrInvalid]. An
	// object of that key is [ci.ErrConflict], an ID that is not known
	// [ci.ErrNotFound].
	EndUpload(ctx context.Context, key string, size int64, u ci.Upload, tail []byte) error
	// LinkObject returns a link that reads the first size bytes.
	LinkObject(ctx context.Context, key string, size int64, valid time.Duration) (ci.Link, error)
}

// DirectFrom returns the size in bytes from which on files may go to the bucket
// and from it directly; 0 says that none may, for now.
func (s *Files) DirectFrom() int64 {
	if s.cfg.Direct == nil || !s.cfg.Direct.Ready() {
		return 0
	}
	return MinDirect
}

// BeginFile begins a file whose bytes are sent to the bucket by links, in place
// of [Files.PutFile]. f.Size and f.SHA256 must be set, and in u how it is parted:
// parts of 5 MiB to 5 GiB, at most 9,999. It returns u with its ID and links.
// There is no file before [Files.CommitFile]; what is never committed goes after
// a day, with the uploads that were cut off.
//
// The zero Upload says that the file has to go through PutFile, see
// [Files.DirectFrom]. If there is a file of that name it is returned, together
// with [ci.ErrConflict] unless it is an artifact or a layer of the same bytes.
func (s *Files) BeginFile(ctx context.Context, project ci.ProjectID, f ci.File, u ci.Upload) (ci.File, ci.Upload, error) {
	key, err := s.direct(project, f, u)
	if err != nil {
		return ci.File{}, ci.Upload{}, fileError("begin", f, err)
	}
	was, err := s.stat(ctx, key, f, -1)
	switch from := s.DirectFrom(); {
	case err == nil:
		if err = same(was, f); f.Kind == ci.FileCache {
			err = fmt.Errorf("it exists: %w", ci.ErrConflict)
		}
		if err != nil {
			err = fileError("begin", f, err)
		}
		return was, ci.Upload{}, err
	case from == 0 || f.Size < from:
		return ci.File{}, ci.Upload{}, nil
	case errors.Is(err, ErrCorrupt):
		err = s.discard(ctx, key)
	case errors.Is(err, ci.ErrNotFound):
		err = nil
	}
	if err == nil {
		valid := min(linkTime+time.Duration(f.Size/linkSpeed)*time.Second, MaxLinkTime)
		u, err = s.cfg.Direct.BeginUpload(ctx, key, f.Size, ci.Upload{Part: u.Part, Sums: u.Sums}, valid)
	}
	if err != nil {
		return ci.File{}, ci.Upload{}, fileError("begin", f, err)
	}
	return ci.File{}, u, nil
}

// CommitFile makes the file of what was sent to the links of u, with f and u as
// they were when it began. It has the promises of [Files.PutFile]: the file is
// durable when it returns, of several writers one wins, and a name that is taken
// is [ci.ErrConflict], with the file that has it. The same commit may be
// repeated. Bytes that have not all arrived are [ci.ErrInvalid].
//
// The bucket has checked the SHA-256 of each part. In a file of several parts
// nobody has seen that of the whole, which is what whoever reads it compares: a
// sender who lies makes a file that nobody gets.
func (s *Files) CommitFile(ctx context.Context, project ci.ProjectID, f ci.File, u ci.Upload) (ci.File, error) {
	key, err := s.direct(project, f, u)
	switch {
	case err != nil:
	case s.cfg.Direct == nil:
		err = fmt.Errorf("this server takes no files by links: %w", ci.ErrInvalid)
	case u.ID == "" || len(u.ID) > 4<<10:
		err = fmt.Errorf("it has no upload: %w", ci.ErrInvalid)
	case len(u.Sums) == 1 && u.Sums[0] != f.SHA256:
		err = fmt.Errorf("its only part has another SHA-256: %w", ci.ErrInvalid)
	}
	if err != nil {
		return ci.File{}, fileError("commit", f, err)
	}
	stored, err := s.commit(ctx, key, f, u)
	if err != nil {
		return stored, fileError("commit", f, err)
	}
	return stored, nil
}

func (s *Files) commit(ctx context.Context, key string, f ci.File, u ci.Upload) (ci.File, error) {
	f.Stored = s.cfg.Now().UTC().Round(0)
	trailer, err := appendTrailer(nil, f)
	if err != nil {
		return ci.File{}, err
	}
	err = s.cfg.Direct.EndUpload(ctx, key, f.Size, u, trailer)
	taken := errors.Is(err, ci.ErrConflict)
	if err == nil || !taken && !errors.Is(err, ci.ErrNotFound) {
		return f, err
	}
	// Either the reply to an earlier commit was lost, or somebody was faster.
	was, statErr := s.settled(ctx, key, f)
	switch {
	case statErr == nil && (!taken || f.Kind != ci.FileCache):
		return was, same(was, f)
	case statErr == nil:
		return was, err
	case errors.Is(statErr, ci.ErrNotFound):
		return ci.File{}, fmt.Errorf("the upload has been given up; send the file again: %w", ci.ErrInvalid)
	}
	return ci.File{}, statErr
}

// same returns an error unless what is stored are the bytes of f.
func same(was, f ci.File) error {
	if was.Size == f.Size && was.SHA256 == f.SHA256 {
		return nil
	}
	return fmt.Errorf("it exists with other bytes: %w", ci.ErrConflict)
}

// direct returns the key of a file that may be sent in such parts.
func (s *Files) direct(project ci.ProjectID, f ci.File, u ci.Upload) (string, error) {
	key, err := fileKey(project, f)
	switch n := int64(len(u.Sums)); {
	case err != nil:
		return "", err
	case s.cfg.MaxSize > 0 && f.Size > s.cfg.MaxSize:
		return "", s.tooLarge()
	case n == 0 || n > maxParts || u.Part < minPart || u.Part > maxPart || f.Size <= (n-1)*u.Part || f.Size > n*u.Part || u.Size(int(n-1), f.Size) < minPart:
		return "", fmt.Errorf("%d bytes in %d parts of %d: a part has %d bytes to %d: %w", f.Size, n, u.Part, minPart, int64(maxPart), ci.ErrInvalid)
	}
	for _, sum := range append([]string{f.SHA256}, u.Sums...) {
		if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 || hex.EncodeToString(b) != sum {
			return "", fmt.Errorf("SHA-256 %.80q: %w", sum, ci.ErrInvalid)
		}
	}
	return key, nil
}

// LinkFile returns the file that [Files.OpenFile] would open, and a link that
// reads its bytes for a quarter of an hour. Whoever does has to compare Size and
// SHA256. The zero Link says that the file has to be read by OpenFile, see
// [Files.DirectFrom].
func (s *Files) LinkFile(ctx context.Context, project ci.ProjectID, f ci.File) (ci.File, ci.Link, error) {
	is, l, err := s.link(ctx, project, f)
	if err != nil {
		return ci.File{}, ci.Link{}, fileError("link", f, err)
	}
	return is, l, nil
}

func (s *Files) link(ctx context.Context, project ci.ProjectID, f ci.File) (ci.File, ci.Link, error) {
	key, err := fileKey(project, f)
	if err != nil {
		return ci.File{}, ci.Link{}, err
	}
	from := s.DirectFrom()
	if from == 0 || f.Size > 0 && f.Size < from {
		return ci.File{}, ci.Link{}, nil
	}
	is, err := s.whole(ctx, key, f)
	if err != nil || is.Size < from {
		return ci.File{}, ci.Link{}, err
	}
	l, err := s.cfg.Direct.LinkObject(ctx, key, is.Size, linkTime)
	return is, l, err
}
