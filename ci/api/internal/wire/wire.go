// Package wire is what the doors of the API have in common: how a request says who sends it, how its body is read within limits, and how
// errors of package ci become answers. It keeps no state and has no routes.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// BodyTimeout is how long a client may take to send a body.
const BodyTimeout = 30 * time.Second

// A Refusal is an error with its own HTTP status and text for the client.
type Refusal struct {
	Status int
	Text   string
}

// Error returns the text.
func (e *Refusal) Error() string { return e.Text }

// Refuse returns a [Refusal].
func Refuse(status int, text string) error { return &Refusal{status, text} }

// Head sets the fields that every reply has, and a deadline for the body.
func Head(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Request-Id", RequestID(r))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	if r.ContentLength != 0 {
		// Also for a body that nothing reads: net/http reads the rest of it
		// before it replies, and would wait for a sender that stalls.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(BodyTimeout))
	}
}

// RequestID returns the client's name for its request if it is a sober one,
// and else a new one.
func RequestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	sober := id != "" && len(id) <= 128 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
	if !sober {
		return ci.NewID()
	}
	return id
}

// TraceID returns the client's own name for what it does, from the field
// X-Client-Trace-Id, without what a log could be misread by.
func TraceID(r *http.Request) string {
	id := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, r.Header.Get("X-Client-Trace-Id"))
	return id[:min(len(id), 256)]
}

// Token returns the token of a request: the field Circle-Token, a bearer
// token, the user name of basic authentication without a password, or, as the
// classic CLI sends it to GraphQL, all of the field Authorization.
func Token(r *http.Request) string {
	if t := r.Header.Get("Circle-Token"); t != "" {
		return t
	}
	auth := strings.TrimSpace(r.Header.Get("Authorization"))
	scheme, t, two := strings.Cut(auth, " ")
	switch {
	case !two:
		return auth
	case strings.EqualFold(scheme, "bearer"):
		return strings.TrimSpace(t)
	}
	if user, password, ok := r.BasicAuth(); ok && password == "" {
		return user
	}
	return ""
}

// Read returns the body of a request, at most limit bytes of UTF-8. Whatever is
// wrong with it is a [Refusal]; a content type that is not JSON is, none is not.
func Read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, Refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("The request is larger than %d bytes.", limit))
	case err != nil:
		return nil, Refuse(http.StatusBadRequest, "The request could not be read to its end.")
	}
	// From here on, a deadline would look like a client that goes away.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	if kind := r.Header.Get("Content-Type"); kind != "" {
		media, params, err := mime.ParseMediaType(kind)
		charset := strings.ToLower(params["charset"])
		if err != nil || media != "application/json" || charset != "" && charset != "utf-8" {
			return nil, Refuse(http.StatusUnsupportedMediaType, "The content type must be application/json.")
		}
	}
	if !utf8.Valid(data) {
		return nil, Refuse(http.StatusBadRequest, "The request is not valid UTF-8.")
	}
	return data, nil
}

// Parse reads one JSON value into v. What is wrong with it is a [Refusal].
// Numbers in interfaces become json.Number.
func Parse(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return Refuse(http.StatusBadRequest, "The request is not the JSON that is expected here: "+strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return Refuse(http.StatusBadRequest, "The request is more than one JSON value.")
	}
	return nil
}

// Decode reads the JSON body of a request of at most limit bytes into v, and
// refuses one that is empty or does not say that it is JSON.
func Decode(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	if r.Header.Get("Content-Type") == "" {
		return Refuse(http.StatusUnsupportedMediaType, "The content type must be application/json.")
	}
	data, err := Read(w, r, limit)
	if err != nil {
		return err
	}
	return Parse(data, v)
}

// sentinels are the errors of package ci with their statuses.
var sentinels = []struct {
	err    error
	status int
}{
	{ci.ErrNotFound, http.StatusNotFound},
	{ci.ErrDenied, http.StatusForbidden},
	{ci.ErrConflict, http.StatusConflict},
	{ci.ErrInvalid, http.StatusBadRequest},
}

// Answer returns the status and the text of an error, and false when it is a
// fault of the server, whose text is for the log only.
func Answer(err error) (status int, text string, known bool) {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Status, r.Text, true
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.status, Text(err, s.err), true
		}
	}
	return http.StatusInternalServerError, "Internal server error", false
}

// Text is that of an error, one line for each of several, without the sentinel
// at the end of a line, which says no more than the status does.
func Text(err, sentinel error) string {
	tail := ": " + sentinel.Error()
	return strings.TrimSuffix(strings.ReplaceAll(err.Error(), tail+"\n", "\n"), tail)
}

// Reply writes a value as JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // a number that JSON cannot say
		status, data = http.StatusInternalServerError, []byte(`{"message":"Internal server error"}`)
	}
	Write(w, status, data)
}

// Write writes a reply that is JSON already.
func Write(w http.ResponseWriter, status int, data []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
