package door

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

const (
	// partSize is about how many bytes a part has, and partsAtATime how many
	// are sent at once.
	partSize     = 64 << 20
	partsAtATime = 4
	// mostParts is how many parts a file may have; larger ones have larger parts.
	mostParts = 9_000
	// commitTimeout is how long the bucket may take to make one file of parts.
	commitTimeout = 5 * time.Minute
)

// A source is a file that can be read again, and from its middle.
type source interface {
	io.ReaderAt
	Size() int64
}

// putDirect sends a file to the bucket. It is not done when the file has to pass
// through the door instead.
func (c *Client) putDirect(ctx context.Context, l ci.Lease, f ci.File, src source) (stored ci.File, done bool, err error) {
	u, err := parted(ctx, src, &f)
	if err != nil {
		return ci.File{}, ctx.Err() != nil, err // or the door tells of it
	}
	q := url.Values{}
	fileQuery(q, f)
	var b begun
	if err := c.upload(ctx, smallTimeout, l, "upload", q, u, &b); err != nil {
		return existing(err), !otherWay(err), err
	}
	switch {
	case b.File != nil:
		return *b.File, true, nil
	case b.Upload.ID == "":
		c.bucket.from.Store(0) // until it is offered again
		return ci.File{}, false, nil
	}
	u.ID, u.Links = b.Upload.ID, b.Upload.Links
	if err := c.bucket.send(ctx, u, src); err != nil {
		if ctx.Err() == nil {
			c.bucket.giveUp(err)
		}
		return ci.File{}, ctx.Err() != nil, err
	}
	u.Links = nil
	if err := c.upload(ctx, commitTimeout, l, "commit", q, u, &stored); err != nil {
		if otherWay(err) {
			c.bucket.giveUp(err)
			return ci.File{}, false, nil
		}
		return existing(err), true, err
	}
	return stored, true, nil
}

// otherWay says whether an error means that the file may do better through the
// door. A conflict means that it is not wanted, and a network that fails is the
// caller's business.
func otherWay(err error) bool {
	var remote *remoteError
	return errors.As(err, &remote) && remote.problem.Code != "" && !errors.Is(err, ci.ErrConflict) && !errors.Is(err, ci.ErrDenied)
}

// upload makes one exchange about an upload.
func (c *Client) upload(ctx context.Context, limit time.Duration, l ci.Lease, path string, q url.Values, u ci.Upload, v any) error {
	data, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path, err, ci.ErrInvalid)
	}
	return c.callWithin(ctx, limit, l, "POST", path, q, data, v)
}

// parted sums up a file and its parts, which are all of about the same size.
func parted(ctx context.Context, src source, f *ci.File) (ci.Upload, error) {
	f.Size = src.Size()
	n := min((f.Size+partSize-1)/partSize, mostParts)
	u := ci.Upload{Part: (f.Size + n - 1) / n}
	whole, buf := sha256.New(), make([]byte, 256<<10)
	for off := int64(0); off < f.Size; off += u.Part {
		part := sha256.New()
		to := io.Writer(part)
		if n > 1 {
			to = io.MultiWriter(part, whole)
		}
		size := u.Size(len(u.Sums), f.Size)
		r := contextReader{ctx, io.NewSectionReader(src, off, size)}
		if m, err := io.CopyBuffer(to, r, buf); err != nil || m != size {
			return u, errors.Join(err, fmt.Errorf("read %d of %d bytes", off+m, f.Size))
		}
		u.Sums = append(u.Sums, hex.EncodeToString(part.Sum(nil)))
	}
	if f.SHA256 = u.Sums[0]; n > 1 {
		f.SHA256 = hex.EncodeToString(whole.Sum(nil))
	}
	return u, nil
}

// contextReader ends with its context. It hides all but Read.
type contextReader struct {
	ctx context.Context // of the call that reads
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// send sends all parts to their links, a few at a time.
func (b *bucket) send(ctx context.Context, u ci.Upload, src source) error {
	if len(u.Links) != len(u.Sums) {
		return fmt.Errorf("%d links for %d parts", len(u.Links), len(u.Sums))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan int)
	var senders sync.WaitGroup
	for range min(partsAtATime, len(u.Links)) {
		senders.Go(func() {
			for i := range next {
				size := u.Size(i, src.Size())
				res, err := b.do(ctx, http.MethodPut, u.Links[i], size, func() io.Reader {
					return io.NewSectionReader(src, int64(i)*u.Part, size)
				})
				if err != nil {
					stop(err)
					continue
				}
				_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
				_ = res.Body.Close()
			}
		})
	}
	for i := range u.Links {
		next <- i
	}
	close(next)
	senders.Wait()
	return context.Cause(ctx)
}

// openDirect opens a file at the bucket, or where the server gives no link, as
// it comes. It is not done when the bucket does not give it.
func (c *Client) openDirect(ctx context.Context, l ci.Lease, f ci.File) (r io.ReadCloser, done bool, err error) {
	in, err := c.openFile(ctx, l, f, true)
	if err != nil {
		return nil, true, err
	}
	if in.res.Header.Get(headerDirect) != "link" {
		return in, true, nil
	}
	defer in.Close()
	var b begun
	if err := receive(in.res, &b); err != nil {
		return nil, true, err
	}
	if b.File == nil || b.File.Size <= 0 || f.SHA256 != "" && f.SHA256 != b.File.SHA256 {
		return nil, false, nil
	}
	res, err := c.bucket.do(ctx, http.MethodGet, b.Link, 0, nil)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, true, err
	case err != nil:
		c.bucket.giveUp(err)
		return nil, false, nil
	case res.StatusCode != http.StatusPartialContent || res.ContentLength != b.File.Size:
		_ = res.Body.Close()
		c.bucket.giveUp(fmt.Errorf("the bucket answers %d with %d bytes instead of %d", res.StatusCode, res.ContentLength, b.File.Size))
		return nil, false, nil
	}
	return newFetched(*b.File, res.Body, c.bucket), true, nil
}
