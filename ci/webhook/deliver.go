package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Signature returns the value of the header circleci-signature for a body:
// "v1=" and the hex form of its HMAC-SHA256.
func Signature(secret, body []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write(body)
	return "v1=" + hex.EncodeToString(h.Sum(nil))
}

// maxAnswer is how much of an answer is read, so that the connection can be
// used again.
const maxAnswer = 64 << 10

// handle does what a due document asks for: a try, or its removal. It reports
// whether a try failed.
func (c *Courier) handle(ctx context.Context, d ci.Doc) (bad bool) {
	m, err := openMessage(d)
	if err != nil {
		c.log.Error("webhook message removed", "delivery", d.ID, "err", err)
		c.remove(ctx, d)
		return false
	}
	if m.State != pending {
		c.remove(ctx, d)
		return false
	}
	h, hd, err := c.hook(ctx, m.Webhook)
	switch {
	case errors.Is(err, ci.ErrNotFound): // deleted, and what it waited for with it
		c.remove(ctx, d)
		return false
	case err == nil:
		_, bad, err = c.try(ctx, h, hd, m, d)
	}
	if err != nil && !errors.Is(err, ci.ErrConflict) && ctx.Err() == nil {
		c.log.Error("deliver webhook message", "webhook", m.Webhook, "delivery", m.ID, "err", err)
		// A database that is away must not be asked again at once.
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return bad
}

// try makes one try and writes how it went. The document is first moved into
// the future, so that no other courier tries meanwhile and that a crash costs
// one try and no message.
func (c *Courier) try(ctx context.Context, h hook, hd ci.Doc, m message, d ci.Doc) (message, bool, error) {
	now := time.Now().UTC()
	m.Attempts++
	m.Tried, m.Next, d.Due = now, now.Add(lease), now.Add(lease)
	if err := m.into(&d); err != nil {
		return m, false, err
	}
	kept, err := c.docs.WriteDocs(ctx, ci.DocChange{Doc: d})
	if err != nil {
		return m, false, err // ErrConflict: another courier has it
	}
	d = kept[0]
	o := c.send(ctx, h, hd, m)
	stopped := ctx.Err() != nil && !o.good()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if now = time.Now().UTC(); stopped { // not the receiver's fault
		m.Attempts--
		m.Next, d.Due = now, now
	} else {
		d.Due = m.after(o, now)
		c.tell(h, m, o)
	}
	if err := m.into(&d); err != nil {
		return m, false, err
	}
	_, err = c.docs.WriteDocs(ctx, ci.DocChange{Doc: d})
	if d.Due.Sub(now) < lookEach {
		c.woken() // the next look would be too late
	}
	return m, !o.good(), err
}

// send makes the request of one try.
func (c *Courier) send(ctx context.Context, h hook, hd ci.Doc, m message) outcome {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if says := c.checkURL(h.URL); says != "" { // the rules may have changed
		return outcome{kind: "the address is not allowed", err: errors.New(says)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, strings.NewReader(m.Payload))
	if err != nil {
		return outcome{kind: "the address cannot be read", err: bare(err)}
	}
	if hd.Sealed != "" {
		secret, err := c.secret(ctx, hd)
		if err != nil {
			return outcome{kind: "the signing secret could not be read here; it is not your receiver's fault", err: err}
		}
		req.Header.Set("Circleci-Signature", Signature(secret, []byte(m.Payload)))
		clear(secret)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "CircleCI-Webhook/1.0")
	req.Header.Set("Circleci-Event-Type", m.Event)
	res, err := c.road.do(req, h.NoVerify)
	if err != nil {
		return outcome{kind: class(err), err: bare(err)}
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer) // what is left ends the connection
	o := outcome{status: res.StatusCode}
	if !o.good() {
		o.kind = fmt.Sprintf("it answered %d, not 2xx", res.StatusCode)
	}
	return o
}

func (c *Courier) secret(ctx context.Context, hd ci.Doc) ([]byte, error) {
	if c.cfg.Keeper == nil {
		return nil, errors.New("no keeper of secrets")
	}
	return c.cfg.Keeper.Open(ctx, place(hd), hd.Sealed)
}

// class says what kind of failure it was, and nothing that an answer said.
func class(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var timed net.Error
	switch {
	case errors.Is(err, errAddress):
		return "the address is not allowed"
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		return "its certificate is not trusted"
	case errors.As(err, &timed) && timed.Timeout():
		return "it did not answer within 10 seconds"
	case errors.As(err, &dns):
		return "its name was not found"
	}
	return "the connection failed"
}

// bare returns the error without the address, which may have a token in it.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// tell logs how a try went.
func (c *Courier) tell(h hook, m message, o outcome) {
	log := c.log.With("project", h.Project, "webhook", h.ID, "delivery", m.ID, "event", m.Event, "attempt", m.Attempts)
	switch {
	case o.good():
		log.Debug("webhook message delivered", "status", o.status)
	case m.State == failed:
		log.Warn("webhook message given up", "status", o.status, "reason", o.kind, "err", o.err)
	default:
		log.Info("webhook message not delivered, will try again", "status", o.status, "reason", o.kind, "next", m.Next, "err", o.err)
	}
}

// remove deletes a message. Whoever else does is welcome.
func (c *Courier) remove(ctx context.Context, d ci.Doc) {
	d.Version = ci.AnyVersion
	if _, err := c.docs.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true}); err != nil && ctx.Err() == nil {
		c.log.Error("remove webhook message", "delivery", d.ID, "err", err)
	}
}

// PingWebhook sends a test message now, once, and returns how that went. A
// webhook that does not exist is [ci.ErrNotFound]; a receiver that refuses is
// no error but a failed delivery.
func (c *Courier) PingWebhook(ctx context.Context, id string, by ci.Actor) (ci.Delivery, error) {
	h, hd, err := c.hook(ctx, id)
	if err != nil {
		return ci.Delivery{}, err
	}
	project, err := c.read.Project(ctx, h.Project)
	if err != nil {
		return ci.Delivery{}, fmt.Errorf("ping webhook %s: %w", id, err)
	}
	now := time.UnixMilli(time.Now().UnixMilli()).UTC()
	d, err := c.compose(h, tale{kind: Ping, at: now, project: project}, now)
	if err != nil {
		return ci.Delivery{}, err
	}
	m, err := openMessage(d)
	if err != nil {
		return ci.Delivery{}, err
	}
	if m, _, err = c.try(ctx, h, hd, m, d); err != nil {
		return ci.Delivery{}, fmt.Errorf("ping webhook %s: %w", id, err)
	}
	return m.Delivery, nil
}

// Deliveries lists the messages of a webhook, the newest first, at most 1,000.
// A webhook that does not exist is [ci.ErrNotFound].
func (c *Courier) Deliveries(ctx context.Context, id string) ([]ci.Delivery, error) {
	if _, err := c.docs.Doc(ctx, kindHook, id); err != nil {
		return nil, err
	}
	var out []ci.Delivery
	for d, err := range c.docs.Docs(ctx, ci.DocQuery{Kind: kindMessage, Scope: id, Newest: true, Limit: 1000}) {
		if err != nil {
			return nil, fmt.Errorf("list deliveries: %w", err)
		}
		m, err := openMessage(d)
		if err != nil {
			return nil, err
		}
		out = append(out, m.Delivery)
	}
	return out, nil
}
