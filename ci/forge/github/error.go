package github

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/rondo-ci/rondo/ci"
)

// A LimitError says that the code host wants no calls before Until. It is none
// of the four sentinels: later the same call works.
type LimitError struct {
	Until time.Time
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the code host's rate limit is used up until %s", e.Until.UTC().Format(time.RFC3339))
}

// refusal turns an error of the client into one of ours.
func refusal(err error) error {
	var (
		limit  *gh.RateLimitError
		abuse  *gh.AbuseRateLimitError
		answer *gh.ErrorResponse
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limit):
		return &LimitError{Until: limit.Rate.Reset.Time}
	case errors.As(err, &abuse):
		wait := time.Minute // what GitHub asks for when it names no time
		if abuse.RetryAfter != nil {
			wait = *abuse.RetryAfter
		}
		return &LimitError{Until: time.Now().Add(wait)}
	case errors.As(err, &answer) && answer.Response != nil:
		return answered(answer)
	}
	return untrusted(err)
}

// answered turns an answer that is no success into an error.
func answered(e *gh.ErrorResponse) error {
	status := e.Response.StatusCode
	if wait, err := time.ParseDuration(e.Response.Header.Get("Retry-After") + "s"); err == nil && (status == http.StatusTooManyRequests || status == http.StatusForbidden) {
		return &LimitError{Until: time.Now().Add(wait)}
	}
	text := fmt.Sprintf("the code host answers %d", status)
	if req := e.Response.Request; req != nil {
		text = fmt.Sprintf("%s %s: %s", req.Method, req.URL.Path, text)
	}
	if e.Message != "" {
		text += ": " + cut(e.Message, 200)
	}
	for _, detail := range e.Errors {
		if detail.Message != "" {
			text += "; " + cut(detail.Message, 200)
		}
	}
	switch status {
	case http.StatusUnauthorized:
		return fmt.Errorf("%s; the token is not valid any more: %w", text, ci.ErrDenied)
	case http.StatusForbidden:
		return fmt.Errorf("%s: %w", text, ci.ErrDenied)
	case http.StatusNotFound, http.StatusGone, http.StatusUnavailableForLegalReasons:
		return fmt.Errorf("%s: %w", text, ci.ErrNotFound)
	case http.StatusConflict:
		return fmt.Errorf("%s: %w", text, ci.ErrConflict)
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fmt.Errorf("%s: %w", text, ci.ErrInvalid)
	}
	return errors.New(text)
}

// untrusted says of an error of TLS what to do about it (TRB-02).
func untrusted(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &unknown) && (!errors.As(err, &verify) || len(verify.UnverifiedCertificates) < 2):
		return fmt.Errorf("%w; the code host sends no intermediate certificate: "+
			"install the whole chain there, or give its authority to Rondo (github.ca, or a file in a folder of trust)", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; give the code host's certificate authority to Rondo (github.ca, or a file in a folder of trust)", err)
	case errors.As(err, &host):
		return fmt.Errorf("%w; the certificate is for another name", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w; renew the code host's certificate, and look at both clocks", err)
	}
	return err
}

// cut shortens a text to so many characters.
func cut(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
