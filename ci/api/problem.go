package api

import (
	"errors"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// A message is the reply of operations that have nothing else to say, and of
// all errors.
type message struct {
	Message string `json:"message"`
}

// bothMessages is an error under both of the keys where clients look for it.
type bothMessages struct {
	Message string `json:"message"`
	Error   string `json:"error"`
}

// A refusal is an error with its own status and text.
type refusal = wire.Refusal

// refuse returns a refusal.
func refuse(status int, text string) error { return wire.Refuse(status, text) }

// statuses maps the errors of package ci to HTTP. The text of an error that is
// not here stays in the log.
var statuses = []struct {
	err    error
	status int
	text   string // "" is that of the error
}{
	{ci.ErrNotFound, http.StatusNotFound, "Not found"},
	{ci.ErrDenied, http.StatusForbidden, "Permission denied"},
	{ci.ErrConflict, http.StatusConflict, ""},
	{ci.ErrInvalid, http.StatusBadRequest, ""},
}

// answerTo returns the status and text for an error, and false when it is a
// fault of the server.
func answerTo(err error) (int, string, bool) {
	var r *refusal
	if errors.As(err, &r) {
		return r.Status, r.Text, true
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			text := s.text
			if text == "" {
				text = wire.Text(err, s.err)
			}
			return s.status, text, true
		}
	}
	return http.StatusInternalServerError, "Internal server error", false
}

// named gives an ErrNotFound the name of what was not found, as clients know
// it; other errors stay.
func named(err error, what string) error {
	if errors.Is(err, ci.ErrNotFound) {
		return refuse(http.StatusNotFound, what+" not found")
	}
	return err
}

// reply writes a value as JSON.
func reply(w http.ResponseWriter, status int, v any) {
	wire.Reply(w, status, v)
}
