package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Webhook is a sink that posts lines (application/x-ndjson) to an address.
// Each request is signed: the field Rondo-Signature is t=<unix time>,v1=<hex>,
// HMAC-SHA256 with the secret over the time, a dot and the body. Any answer of
// 2xx is a receipt.
type Webhook struct {
	address string
	secret  []byte
	client  *http.Client
}

// SignatureField is the field of a request that has its signature.
const SignatureField = "Rondo-Signature"

// NewWebhook returns a sink for an address. client makes the requests and says
// how long they may take; nil is one that gives up after 30 s and follows no
// redirects.
func NewWebhook(address string, secret []byte, client *http.Client) *Webhook {
	if client == nil {
		client = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &Webhook{address, bytes.Clone(secret), client}
}

// Send implements [Sink].
func (w *Webhook) Send(ctx context.Context, lines []Line) error {
	var body bytes.Buffer
	for _, l := range lines {
		body.Write(l.Text)
		body.WriteByte('\n')
	}
	signature := sign(w.secret, time.Now(), body.Bytes())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.address, &body)
	if err != nil {
		return fmt.Errorf("audit webhook: its address cannot be read")
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	r.Header.Set("User-Agent", "rondo-audit")
	r.Header.Set(SignatureField, signature)
	answer, err := w.client.Do(r)
	if err != nil {
		return fmt.Errorf("audit webhook: %w", err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // lets the connection be used again
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("audit webhook: %s answers %s", r.URL.Host, answer.Status)
	}
	return nil
}

func sign(secret []byte, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(t + "."))
	m.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(m.Sum(nil))
}

// CheckSignature says whether a request to a webhook of ours is signed with
// the secret and at most 5 minutes old: nil, or [ci.ErrInvalid].
func CheckSignature(field string, secret, body []byte, now time.Time) error {
	t, _, _ := strings.Cut(strings.TrimPrefix(field, "t="), ",")
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || now.Sub(time.Unix(n, 0)).Abs() > 5*time.Minute {
		return errSink("%s: its time is not that of now", SignatureField)
	}
	if !hmac.Equal([]byte(field), []byte(sign(secret, time.Unix(n, 0), body))) {
		return errSink("%s: it is not signed with this secret", SignatureField)
	}
	return nil
}

var _ Sink = (*Webhook)(nil)
