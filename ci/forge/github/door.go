package github

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

const (
	maxBody    = 25 << 20         // the code host sends no more
	bodyMemory = 56 << 20         // of webhooks that are being read at once
	answerTime = 8 * time.Second  // it waits for ten
	remember   = 96 * time.Hour   // a day longer than a delivery may be repeated
	quiet      = 10 * time.Second // between two warnings about refused webhooks
)

// A reply is the answer to a webhook.
type reply struct {
	status   int
	Message  string        `json:"message"`
	Pipeline ci.PipelineID `json:"pipeline,omitempty"`
}

// Handler returns the webhook door, for POST [HookPath].
//
// Nothing is parsed, kept or asked before the HMAC-SHA-256 over the raw body
// has been found right with a secret of the installation or of the project. The
// answer is 2xx only when what follows from the event is durable: 200 with the
// pipeline if there is one, also when it was there already, or 204 for an event
// that means nothing here. 401 is
// a wrong signature, 404 a repository that nobody follows here (or that the
// secret is not for: the two look the same), 409 a delivery that was received
// with other content, or that no secret is configured; 400, 413, 415 and 422 are
// the sender's other faults. A 5xx is ours, and [Host.Run] comes back to it.
func (h *Host) Handler() http.Handler { return http.HandlerFunc(h.serve) }

func (h *Host) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	answer := h.receive(ctx, w, r)
	if answer.status == http.StatusNoContent {
		w.WriteHeader(answer.status)
		return
	}
	if answer.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.status)
	_ = json.NewEncoder(w).Encode(answer)
}

// receive reads a webhook from the network up to where it is believed.
func (h *Host) receive(ctx context.Context, w http.ResponseWriter, r *http.Request) reply {
	form, refused := isForm(r)
	if refused.status != 0 {
		return refused
	}
	mac, refused := signature(r.Header.Values("X-Hub-Signature-256"))
	if refused.status != 0 {
		h.warn("webhook refused", refused.Message)
		return refused
	}
	if r.ContentLength > maxBody {
		return reply{status: http.StatusRequestEntityTooLarge, Message: "the body is too large"}
	}
	// Not all writers can have a deadline; those of a real server do.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(answerTime))
	body, held, refused := h.read(ctx, http.MaxBytesReader(w, r.Body, maxBody))
	defer h.bodies.Release(held)
	if refused.status != 0 {
		return refused
	}
	owner, refused := h.verify(ctx, r.Header.Get("X-GitHub-Hook-ID"), body, mac)
	if refused.status != 0 {
		h.warn("webhook refused", refused.Message)
		return refused
	}
	d := delivery{guid: r.Header.Get("X-GitHub-Delivery"), event: r.Header.Get("X-GitHub-Event"), owner: owner, signed: true}
	if d.guid == "" || len(d.guid) > 128 || !printable(d.guid) {
		return reply{status: http.StatusBadRequest, Message: "X-GitHub-Delivery is missing"}
	}
	if form {
		values, err := url.ParseQuery(string(body))
		if err != nil || !values.Has("payload") {
			return reply{status: http.StatusBadRequest, Message: "the form has no payload"}
		}
		body = []byte(values.Get("payload"))
	}
	if !utf8.Valid(body) {
		return reply{status: http.StatusBadRequest, Message: "the body is not UTF-8"}
	}
	d.body = body
	return h.accept(ctx, d)
}

// read reads a body and returns how much of the memory for webhooks it holds.
// It takes more only as more comes, so that slow senders hold little.
func (h *Host) read(ctx context.Context, r io.Reader) (body []byte, held int64, refused reply) {
	var b bytes.Buffer
	for size := int64(64 << 10); ; size *= 2 {
		if err := h.bodies.Acquire(ctx, size-held); err != nil {
			return nil, held, reply{status: http.StatusServiceUnavailable, Message: "too many large webhooks at once"}
		}
		held = size
		var large *http.MaxBytesError
		switch _, err := io.CopyN(&b, r, size-int64(b.Len())); {
		case err == io.EOF:
			return b.Bytes(), held, reply{}
		case errors.As(err, &large):
			return nil, held, reply{status: http.StatusRequestEntityTooLarge, Message: "the body is too large"}
		case err != nil:
			return nil, held, reply{status: http.StatusBadRequest, Message: "the body could not be read"}
		}
	}
}

// isForm looks at the method and the headers that say what the body is.
func isForm(r *http.Request) (form bool, refused reply) {
	if r.Method != http.MethodPost {
		return false, reply{status: http.StatusMethodNotAllowed, Message: "webhooks are sent with POST"}
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	encoded := r.Header.Get("Content-Encoding") != ""
	form = kind == "application/x-www-form-urlencoded"
	if err != nil || encoded || !form && kind != "application/json" {
		return false, reply{status: http.StatusUnsupportedMediaType, Message: "the body has to be application/json or application/x-www-form-urlencoded, not encoded"}
	}
	return form, reply{}
}

// signature reads the header that carries the HMAC.
func signature(values []string) (mac []byte, refused reply) {
	if len(values) > 1 {
		return nil, reply{status: http.StatusBadRequest, Message: "more than one signature"}
	}
	var digits string
	if len(values) == 1 {
		digits, _ = strings.CutPrefix(values[0], "sha256=")
	}
	mac, err := hex.DecodeString(digits)
	if err != nil || len(mac) != sha256.Size || len(digits) == len(values[0]) {
		return nil, reply{status: http.StatusUnauthorized, Message: "the signature does not fit"}
	}
	return mac, reply{}
}

// verify compares the HMAC with those by the secrets that may have made it, and
// returns the project whose secret it was; "" is the installation. The ID of
// the hook is not signed, but all that it can do is choose among secrets.
func (h *Host) verify(ctx context.Context, hook string, body, mac []byte) (owner ci.ProjectID, refused reply) {
	if hook != "" && len(hook) <= 20 {
		d, err := h.records.DocNamed(ctx, kindRepository, "", hookName(hook))
		if err == nil {
			var l link
			if json.Unmarshal(d.Body, &l) == nil {
				owner = l.Project
			}
		} else if !isNotFound(err) {
			return "", h.fault("secret of a webhook", err)
		}
	}
	secrets, err := h.secrets(ctx, owner)
	if err == nil && len(secrets) == 0 && owner != "" {
		owner = ""
		secrets, err = h.secrets(ctx, "")
	}
	if err != nil {
		return "", h.fault("secret of a webhook", err)
	}
	if len(secrets) == 0 {
		return "", reply{status: http.StatusConflict, Message: "no webhook secret is configured"}
	}
	right := false
	for _, s := range secrets {
		sum := hmac.New(sha256.New, []byte(s))
		sum.Write(body)
		right = hmac.Equal(sum.Sum(nil), mac) || right
	}
	if !right {
		return "", reply{status: http.StatusUnauthorized, Message: "the signature does not fit"}
	}
	return owner, reply{}
}

// secrets returns the secrets that are good enough.
func (h *Host) secrets(ctx context.Context, p ci.ProjectID) ([]string, error) {
	if h.cfg.Secrets == nil {
		return nil, nil
	}
	all, err := h.cfg.Secrets(ctx, p)
	if err != nil {
		return nil, err
	}
	var good []string
	for _, s := range all {
		if len(s) >= MinSecret {
			good = append(good, s)
		}
	}
	return good, nil
}

// fault logs what went wrong on our side and answers that it did.
func (h *Host) fault(what string, err error) reply {
	h.log.Error("webhook not accepted", "what", what, "error", err)
	return reply{status: http.StatusServiceUnavailable, Message: "not now"}
}

// warn logs a refused webhook, but only one in a while: anybody can send them.
func (h *Host) warn(text, why string) {
	now := time.Now()
	h.mu.Lock()
	loud := now.Sub(h.warned) >= quiet
	if loud {
		h.warned = now
	}
	h.mu.Unlock()
	if loud {
		h.log.Warn(text, "why", why)
	}
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func isNotFound(err error) bool { return errors.Is(err, ci.ErrNotFound) }
func isConflict(err error) bool { return errors.Is(err, ci.ErrConflict) }
func isInvalid(err error) bool  { return errors.Is(err, ci.ErrInvalid) }
func isDenied(err error) bool   { return errors.Is(err, ci.ErrDenied) }
