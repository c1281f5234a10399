package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// What can be wrong with a request, beyond the words of ci.
var (
	errCrossSite = errors.New("this form was sent from another site")
	errMethod    = errors.New("this address cannot be used that way")
	errBroken    = errors.New("the answer was cut off") // and logged
	errBusy      = errors.New("too many pages are watched at the moment")
)

// A problem is an error as a page shows it.
type problem struct {
	Code        int
	Title, Text string
}

// problemOf says what is shown of an error. The text of a fault of the
// machinery is for the log only.
func problemOf(err error) problem {
	var big *http.MaxBytesError
	var lacks absent
	switch {
	case errors.As(err, &lacks):
		return problem{Code: http.StatusNotFound, Title: "Not in this installation", Text: said(lacks, nil) + " Whoever runs it can switch it on."}
	case errors.As(err, &big):
		return problem{Code: http.StatusRequestEntityTooLarge, Title: "Too large", Text: "The form is larger than this server takes."}
	case errors.Is(err, ci.ErrNotFound):
		return problem{Code: http.StatusNotFound, Title: "Not here", Text: "There is nothing at this address, or nothing that you may see. It may have been deleted, or the address may have been cut short."}
	case errors.Is(err, ci.ErrConflict):
		return problem{Code: http.StatusConflict, Title: "That is over", Text: said(err, ci.ErrConflict) + " Somebody may have been faster; the page behind this one shows how things stand now."}
	case errors.Is(err, ci.ErrInvalid):
		return problem{Code: http.StatusBadRequest, Title: "That does not work", Text: said(err, ci.ErrInvalid)}
	case errors.Is(err, ci.ErrDenied):
		return problem{Code: http.StatusForbidden, Title: "You may not do that", Text: said(err, ci.ErrDenied)}
	case errors.Is(err, errCrossSite):
		return problem{Code: http.StatusForbidden, Title: "Sent from elsewhere", Text: "This form was sent from another site, so nothing was done. Open the page here and use its button."}
	case errors.Is(err, errMethod):
		return problem{Code: http.StatusMethodNotAllowed, Title: "Not that way", Text: "This address cannot be used with that method."}
	case errors.Is(err, errBusy):
		return problem{Code: http.StatusServiceUnavailable, Title: "Too many watchers", Text: "Too many pages are watched at the moment. The page itself works; load it again to see what is new."}
	}
	return problem{Code: http.StatusInternalServerError, Title: "Something broke", Text: "The server could not do this. Its log says why; trying again may help."}
}

// said returns the words of an error as a sentence, without the sentinel.
func said(err, sentinel error) string {
	text := err.Error()
	if sentinel != nil {
		text = strings.TrimSuffix(text, sentinel.Error())
	}
	text = strings.TrimRight(text, ": ")
	if text == "" {
		return ""
	}
	text = clean(text, 600, false)
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// fail answers with a page about the error. It logs what is a fault of the
// machinery and nothing else.
func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	if isGone(r, err) || errors.Is(err, errBroken) {
		return
	}
	p := problemOf(err)
	switch p.Code {
	case http.StatusInternalServerError:
		s.log.Error("serve page", "path", clean(r.URL.Path, 200, false), "err", err)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "GET, HEAD")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "30")
	}
	view := view{Title: p.Title, Body: p}
	if err := s.render(w, r, p.Code, "problem", view); err != nil {
		s.log.Error("render problem", "err", err)
		http.Error(w, p.Title, p.Code)
	}
}
