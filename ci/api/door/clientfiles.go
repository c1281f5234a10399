package door

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/rondo-ci/rondo/ci"
)

// PutFile is [Door.PutFile]. The file is not held in memory; r is read once, and
// not at all when the server knows before that it will refuse. See
// [Client.UseBucket] for large files.
func (c *Client) PutFile(ctx context.Context, l ci.Lease, f ci.File, r io.Reader) (ci.File, error) {
	if src, ok := r.(source); ok && c.bucket.wants(src.Size()) {
		if stored, done, err := c.putDirect(ctx, l, f, src); done {
			return stored, err
		}
	}
	q := url.Values{}
	fileQuery(q, f)
	req, err := c.request(ctx, l, "POST", "file", q, nil)
	if err != nil {
		return ci.File{}, err
	}
	delete(req.Header, "Idempotency-Key") // r cannot be read again
	body := &outgoing{r: r, sum: sha256.New(), trailer: http.Header{headerDigest: nil}}
	defer body.closed.Store(true)
	req.Body, req.ContentLength, req.Trailer = body, -1, body.trailer
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Expect", "100-continue")
	res, err := c.http.Do(req)
	if err != nil {
		if failed := body.failed.Load(); failed != nil {
			return ci.File{}, fmt.Errorf("put %s %q: read it: %w", f.Kind, f.Name, *failed)
		}
		return ci.File{}, fmt.Errorf("door: %w", redact(err))
	}
	defer res.Body.Close()
	var stored ci.File
	if err := receive(res, &stored); err != nil {
		return existing(err), err
	}
	return stored, nil
}

// existing is the file that a refusal speaks of.
func existing(err error) ci.File {
	var remote *remoteError
	if errors.As(err, &remote) && remote.problem.File != nil {
		return *remote.problem.File
	}
	return ci.File{}
}

// An outgoing file sums up what is read from it and puts the sum behind the
// last byte.
type outgoing struct {
	r       io.Reader
	sum     hash.Hash
	trailer http.Header
	closed  atomic.Bool // the exchange is over: r is the caller's again
	failed  atomic.Pointer[error]
}

func (o *outgoing) Read(p []byte) (int, error) {
	if o.closed.Load() {
		return 0, errors.New("the exchange is over")
	}
	n, err := o.r.Read(p)
	o.sum.Write(p[:n])
	switch {
	case err == io.EOF:
		o.trailer.Set(headerDigest, digest(o.sum))
	case err != nil:
		o.failed.Store(&err)
	}
	return n, err
}

func (o *outgoing) Close() error {
	o.closed.Store(true)
	return nil
}

// FindFiles is [Door.FindFiles].
func (c *Client) FindFiles(ctx context.Context, l ci.Lease, like ci.File) ([]ci.File, error) {
	q := url.Values{}
	fileQuery(q, like)
	var found []ci.File
	err := c.call(ctx, l, "GET", "files", q, nil, &found)
	return found, err
}

// OpenFile is [Door.OpenFile]. When f carries a checksum, as what FindFiles
// returned does, the bytes are verified on this side too.
func (c *Client) OpenFile(ctx context.Context, l ci.Lease, f ci.File) (io.ReadCloser, error) {
	if c.bucket.wants(f.Size) {
		if r, done, err := c.openDirect(ctx, l, f); done {
			return r, err
		}
	}
	return c.openFile(ctx, l, f, false)
}

// openFile opens a file; where a link will do, it may be a link.
func (c *Client) openFile(ctx context.Context, l ci.Lease, f ci.File, link bool) (*incoming, error) {
	q := url.Values{}
	fileQuery(q, f)
	req, err := c.request(ctx, l, "GET", "file", q, nil)
	if err != nil {
		return nil, err
	}
	if link {
		req.Header.Set(headerDirect, "link")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("door: %w", redact(err))
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		return nil, receive(res, nil)
	}
	return &incoming{file: f, res: res, sum: sha256.New()}, nil
}

// An incoming file ends with io.EOF only when the server has said that it is
// whole, and its checksum, if known, is right.
type incoming struct {
	file ci.File
	res  *http.Response
	sum  hash.Hash
	err  error
}

func (in *incoming) Read(p []byte) (int, error) {
	if in.err != nil {
		return 0, in.err
	}
	n, err := in.res.Body.Read(p)
	if in.file.SHA256 != "" {
		in.sum.Write(p[:n])
	}
	if err == nil {
		return n, nil
	}
	in.err = in.verdict(err)
	return n, in.err
}

// verdict turns the end of the body into the end of the file.
func (in *incoming) verdict(err error) error {
	name := fmt.Sprintf("read %s %q", in.file.Kind, in.file.Name)
	result := in.res.Trailer.Get(headerResult)
	switch {
	case err != io.EOF:
		return fmt.Errorf("%s: %w", name, err)
	case result == "":
		return fmt.Errorf("%s: %w", name, io.ErrUnexpectedEOF)
	case result != "ok":
		return &remoteError{text: name + ": the server could not read it to the end", err: sentinel(result)}
	case in.file.SHA256 != "" && in.file.SHA256 != hex.EncodeToString(in.sum.Sum(nil)):
		return fmt.Errorf("%s: the checksum does not match", name)
	}
	return io.EOF
}

func (in *incoming) Close() error { return in.res.Body.Close() }
