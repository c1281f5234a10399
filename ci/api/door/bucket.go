package door

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

const (
	// bucketTries is how often a part is sent, or a file asked for, while the
	// bucket is busy or its connection breaks.
	bucketTries = 5
	// bucketPause is for how long files pass through the door after the bucket
	// has not worked.
	bucketPause = 5 * time.Minute
)

// A bucket is where a [Client] sends large files and fetches them from when the
// server gives it links. It never gets the client's token. A nil one is none.
type bucket struct {
	http *http.Client
	log  *slog.Logger
	from atomic.Int64 // the size that the server has offered; 0 is none
	off  atomic.Int64 // until when it is not used, in nanoseconds since 1970
	said atomic.Bool  // that it does not work from here
}

// UseBucket lets the client send files to the bucket itself and fetch them
// there, with links that the server gives it, where the server offers that; it
// is called before the client is used. A file that is stored must be an
// [io.ReaderAt] with a Size, as an [io.SectionReader] is. What the bucket does not
// take or give (a network or proxy between, a certificate, an outage) passes
// through the door, and so do all files for some minutes then; log is told the
// first time. hc must not follow redirects; nil has the proxies of the
// environment and the certificates of the system, as [Dial] has. The client's
// token is never sent there.
func (c *Client) UseBucket(hc *http.Client, log *slog.Logger) {
	if hc == nil {
		dialer := net.Dialer{Timeout: 10 * time.Second}
		hc = &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				DialContext:           dialer.DialContext,
				TLSHandshakeTimeout:   10 * time.Second,
				ResponseHeaderTimeout: pieceTimeout,
				ExpectContinueTimeout: 2 * time.Second,
				MaxIdleConnsPerHost:   partsAtATime,
				IdleConnTimeout:       20 * time.Second,
				DisableCompression:    true,
				WriteBufferSize:       64 << 10,
				ReadBufferSize:        64 << 10,
			},
		}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c.bucket = &bucket{http: hc, log: log}
}

// offered takes note of what a reply of the server offers.
func (b *bucket) offered(res *http.Response) {
	if from := res.Header.Get(headerDirect); b != nil && from != "" {
		n, _ := strconv.ParseInt(from, 10, 64)
		b.from.Store(max(n, 0))
	}
}

// wants says whether a file of that size may go directly.
func (b *bucket) wants(size int64) bool {
	if b == nil {
		return false
	}
	from := b.from.Load()
	return from > 0 && size >= from && time.Now().UnixNano() >= b.off.Load()
}

// giveUp leaves the bucket alone for a while.
func (b *bucket) giveUp(err error) {
	b.off.Store(time.Now().Add(bucketPause).UnixNano())
	if !b.said.Swap(true) {
		b.log.Warn("files pass through the server: the bucket does not work from here", "err", err)
	}
}

// A bucketError is what the bucket answered.
type bucketError struct {
	status int
	code   string // as S3 gives it, perhaps ""
}

func (e *bucketError) Error() string {
	return fmt.Sprintf("the bucket answers %d %s", e.status, e.code)
}

// do does what a link is for, again where that helps. The answer is a success,
// and the caller closes its body. body makes the n bytes to send anew each time;
// nil is none.
func (b *bucket) do(ctx context.Context, method string, l ci.Link, n int64, body func() io.Reader) (*http.Response, error) {
	for try := 1; ; try++ {
		res, err := b.once(ctx, method, l, n, body)
		if err == nil || try == bucketTries || ctx.Err() != nil || stays(err) {
			return res, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond << try):
		}
	}
}

// stays says whether an error is likely to be the same in a second: a refusal, a
// network that has no way there, a certificate that is not trusted.
func stays(err error) bool {
	var said *bucketError
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &said):
		return said.status < 500 && said.status != http.StatusTooManyRequests
	case errors.As(err, &network):
		return network.Op == "dial" || network.Op == "proxyconnect"
	}
	return errors.As(err, &certificate)
}

func (b *bucket) once(ctx context.Context, method string, l ci.Link, n int64, body func() io.Reader) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{timer: time.AfterFunc(pieceTimeout, func() { cancel(errors.New("the connection to the bucket stands still")) }), cancel: cancel}
	req, err := http.NewRequestWithContext(ctx, method, l.URL, nil)
	if err != nil {
		w.end()
		return nil, errors.New("the link to the bucket is no address")
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(&watched{body(), w}), n
		req.Header.Set("Expect", "100-continue") // a refusal comes before the bytes go
	}
	for name, value := range l.Header {
		req.Header.Set(name, value)
	}
	res, err := b.http.Do(req)
	switch {
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		w.end()
		return nil, redact(err)
	case res.StatusCode/100 == 2:
		res.Body = &watchedBody{watched{res.Body, w}, res.Body}
		return res, nil
	}
	defer w.end()
	defer res.Body.Close()
	said := struct{ Code string }{}
	text, _ := io.ReadAll(io.LimitReader(res.Body, 16<<10))
	_ = xml.Unmarshal(text, &said)
	return nil, &bucketError{res.StatusCode, fmt.Sprintf("%.60q", said.Code)}
}

// A watch ends an exchange in which nothing moves any more.
type watch struct {
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// watched is what is read under a watch.
type watched struct {
	io.Reader
	w *watch
}

func (r *watched) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.w.timer.Reset(pieceTimeout)
	return n, err
}

// A watchedBody is the body of an answer, whose watch ends with it.
type watchedBody struct {
	watched
	body io.Closer
}

func (r *watchedBody) Close() error {
	defer r.w.end()
	return r.body.Close()
}

// A fetched file comes from the bucket. It ends with io.EOF only when it is
// whole and has its checksum.
type fetched struct {
	file ci.File
	body io.ReadCloser
	sum  hash.Hash
	n    int64
	b    *bucket
	err  error
}

func (r *fetched) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.body.Read(p)
	r.sum.Write(p[:n])
	r.n += int64(n)
	if err == nil {
		return n, nil
	}
	name := fmt.Sprintf("read %s %q", r.file.Kind, r.file.Name)
	switch {
	case err != io.EOF:
		r.err = fmt.Errorf("%s: %w", name, redact(err))
	case r.n != r.file.Size:
		r.err = fmt.Errorf("%s: %w", name, io.ErrUnexpectedEOF)
	case hex.EncodeToString(r.sum.Sum(nil)) != r.file.SHA256:
		r.err = fmt.Errorf("%s: the checksum does not match", name)
	default:
		r.err = io.EOF
		return n, r.err
	}
	r.b.giveUp(r.err) // so that the next try is made by the door, which looks closer
	return n, r.err
}

func (r *fetched) Close() error { return r.body.Close() }

func newFetched(f ci.File, body io.ReadCloser, b *bucket) *fetched {
	return &fetched{file: f, body: body, sum: sha256.New(), b: b}
}
