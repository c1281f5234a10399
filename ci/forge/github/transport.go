package github

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/rondo-ci/rondo/ci"
)

// maxAnswer is the size in bytes of the largest answer that is read.
const maxAnswer = 32 << 20

// A transport adds the token, and refuses to ask anybody but the code host: a
// redirect elsewhere would take the token with it.
type transport struct {
	next  http.RoundTripper
	base  *url.URL
	token func(ctx context.Context) (string, error)
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.base.Host || req.URL.Scheme != t.base.Scheme {
		return nil, fmt.Errorf("the code host sends us to %s, which is not asked: %w", req.URL.Host, ci.ErrDenied)
	}
	req = req.Clone(req.Context())
	req.Header.Del("Authorization")
	if t.token != nil {
		token, err := t.token(req.Context())
		if err != nil {
			return nil, fmt.Errorf("token of the code host: %w", err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// A bounded reader ends with an error when the answer is too large.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("the answer of the code host is larger than %d bytes: %w", maxAnswer, ci.ErrInvalid)
	}
	return n, err
}
