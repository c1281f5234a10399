package door

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Client is a [Door] far away: it has the same methods with the same meaning.
// Errors that are [Final] come from the server; any other error, of the network
// too, leaves open whether the call was done, and the call may be repeated. When
// to repeat is the caller's business; only a kept connection that turns out to
// be dead is replaced without a word. All methods are safe for concurrent use.
type Client struct {
	base   string
	ticket string // to claim with, and
	proof  string // that it is this one which claims
	token  atomic.Pointer[string]
	http   *http.Client
	bucket *bucket // nil for none
}

// NewClient returns a client of the door at base, as [Dial] gives it. The token
// or ticket is that of the one task and epoch that the client is for; with a
// ticket it claims the task before anything else, and uses the token that it
// gets. A nil hc is [http.DefaultClient]; it must not have a Timeout, which
// would cut files.
func NewClient(base, token string, hc *http.Client) *Client {
	if hc == nil {
		hc = http.DefaultClient
	}
	c := &Client{base: strings.TrimRight(base, "/"), ticket: token, proof: newProof(), http: hc}
	c.token.Store(&token)
	return c
}

// Dial returns what [NewClient] needs to reach an address: "unix:/path" is a
// socket on this machine, anything else a URL of http or https, which is reached
// without a proxy. Nothing is connected yet; the Transport of hc is an
// [http.Transport], for who has to change whom it trusts. A malformed address is
// [ci.ErrInvalid].
func Dial(addr string) (base string, hc *http.Client, err error) {
	var dialer net.Dialer
	t := &http.Transport{
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: 5 * time.Second,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}
	if path, unix := strings.CutPrefix(addr, "unix:"); unix {
		if path == "" {
			return "", nil, fmt.Errorf("dial %q: no path: %w", addr, ci.ErrInvalid)
		}
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		return "http://door", &http.Client{Transport: t}, nil
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", nil, fmt.Errorf("dial %q: neither unix:/path nor http://host:port: %w", addr, ci.ErrInvalid)
	}
	return strings.TrimRight(addr, "/"), &http.Client{Transport: t}, nil
}

// Token returns what opens the door for the task that was claimed, for an agent
// on the task's own machine. It is a secret.
func (c *Client) Token() string { return *c.token.Load() }

// Claim is [Door.Claim]. With a ticket the name in the lease is the worker's
// with something behind it that tells apart all that have the same name.
func (c *Client) Claim(ctx context.Context, task ci.TaskID, epoch int64, worker string) (ci.Work, error) {
	var got claimed
	err := c.call(ctx, ci.Lease{Task: task, Epoch: epoch, Worker: worker}, "POST", "claim", nil, nil, &got)
	if err == nil && got.Token != "" {
		c.token.Store(&got.Token)
	}
	return got.Work, err
}

// Renew is [Door.Renew].
func (c *Client) Renew(ctx context.Context, l ci.Lease) (ci.Lease, error) {
	var next ci.Lease
	err := c.call(ctx, l, "POST", "renew", nil, nil, &next)
	return next, err
}

// PutStep is [Door.PutStep].
func (c *Client) PutStep(ctx context.Context, l ci.Lease, s ci.Step) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("put step %d: %w: %w", s.Index, err, ci.ErrInvalid)
	}
	return c.call(ctx, l, "PUT", "steps/"+strconv.Itoa(s.Index), nil, data, nil)
}

// Append is [Door.Append].
func (c *Client) Append(ctx context.Context, l ci.Lease, step int, offset int64, data []byte) (int64, error) {
	if len(data) > MaxChunk {
		return offset, fmt.Errorf("append %d bytes: %w", len(data), ci.ErrInvalid)
	}
	q := url.Values{"offset": {strconv.FormatInt(offset, 10)}}
	if data == nil {
		data = []byte{}
	}
	reply := appended{Next: offset}
	err := c.call(ctx, l, "POST", "steps/"+strconv.Itoa(step)+"/output", q, data, &reply)
	var remote *remoteError
	if errors.As(err, &remote) && remote.problem.Next != nil {
		return *remote.problem.Next, err
	}
	return reply.Next, err
}

// PutTests is [Door.PutTests].
func (c *Client) PutTests(ctx context.Context, l ci.Lease, tests []ci.Test) error {
	data, err := json.Marshal(tests)
	if err != nil {
		return fmt.Errorf("put tests: %w: %w", err, ci.ErrInvalid)
	}
	return c.call(ctx, l, "PUT", "tests", nil, data, nil)
}

// Timings is [Door.Timings].
func (c *Client) Timings(ctx context.Context, l ci.Lease) ([]ci.Test, error) {
	var tests []ci.Test
	err := c.call(ctx, l, "GET", "timings", nil, nil, &tests)
	return tests, err
}

// Finish is [Door.Finish].
func (c *Client) Finish(ctx context.Context, l ci.Lease, r ci.Report) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("finish: %w: %w", err, ci.ErrInvalid)
	}
	return c.call(ctx, l, "POST", "finish", nil, data, nil)
}

// call makes one small exchange: data out, if it is not nil, and JSON back into
// v, if that is not nil.
func (c *Client) call(ctx context.Context, l ci.Lease, method, path string, q url.Values, data []byte, v any) error {
	return c.callWithin(ctx, smallTimeout, l, method, path, q, data, v)
}

// callWithin is call with a time of its own.
func (c *Client) callWithin(ctx context.Context, limit time.Duration, l ci.Lease, method, path string, q url.Values, data []byte, v any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var body io.Reader
	if data != nil {
		body = bytes.NewReader(data)
	}
	req, err := c.request(ctx, l, method, path, q, body)
	if err != nil {
		return err
	}
	if data != nil {
		req.Header.Set(headerDigest, digestOf(data))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("door: %w", redact(err))
	}
	defer res.Body.Close()
	c.bucket.offered(res)
	return receive(res, v)
}

// request makes the request of one operation.
func (c *Client) request(ctx context.Context, l ci.Lease, method, path string, q url.Values, body io.Reader) (*http.Request, error) {
	if q == nil {
		q = url.Values{}
	}
	q.Set("worker", l.Worker)
	address := c.base + root + url.PathEscape(string(l.Task)) + "/" + strconv.FormatInt(l.Epoch, 10) + "/" + path + "?" + q.Encode()
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("door: %w: %w", redact(err), ci.ErrInvalid)
	}
	req.Header.Set("Authorization", "Bearer "+*c.token.Load())
	if path == "claim" { // also when it was claimed before: the answer is the same
		req.Header.Set("Authorization", "Bearer "+c.ticket)
		req.Header.Set(headerProof, c.proof)
	}
	// Every call may be repeated; without a value it tells the transport so, and
	// is not sent.
	req.Header["Idempotency-Key"] = nil
	return req, nil
}

// redact takes the address, which is long and may hold a password, out of an
// error of package http.
func redact(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// receive reads a reply.
func receive(res *http.Response, v any) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	switch {
	case err != nil:
		return fmt.Errorf("door: read reply: %w", err)
	case len(data) > maxReply:
		return fmt.Errorf("door: reply is larger than %d bytes", maxReply)
	case res.StatusCode/100 != 2:
		return refusal(res, data)
	case v == nil:
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("door: reply: %w", err)
	}
	return nil
}

// refusal turns a reply that is not a success into an error. A reply that did
// not come from a door (of a proxy in between) is never final.
func refusal(res *http.Response, data []byte) error {
	e := &remoteError{text: "door: " + res.Status}
	if json.Unmarshal(data, &e.problem) == nil && e.problem.Code != "" {
		e.text = "door: " + e.problem.Message
		e.err = sentinel(e.problem.Code)
	}
	return e
}
