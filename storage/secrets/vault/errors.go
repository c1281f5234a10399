package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/rondo-ci/rondo/storage/secrets"
)

// isRefused reports whether Vault did not accept the token.
func isRefused(err error) bool {
	var r *api.ResponseError
	return errors.As(err, &r) && (r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusUnauthorized)
}

// typed turns an error of the client into one of package secrets. Vault's own
// words are kept where they help the operator: they name paths and policies,
// never what was sent. Anything else could be a proxy's page and is not.
func typed(ctx context.Context, err error) error {
	var r *api.ResponseError
	if !errors.As(err, &r) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", secrets.ErrUnreachable, cause(err))
	}
	said := ""
	if !r.RawError && len(r.Errors) > 0 {
		said = strings.Join(strings.Fields(fmt.Sprintf("%.300s", strings.Join(r.Errors, "; "))), " ")
	}
	var kind error
	switch r.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized:
		kind = secrets.ErrRefused
	case http.StatusTooManyRequests, http.StatusPreconditionFailed, 472, 473: // 412: a replica that lags; 47x: a standby
		kind = secrets.ErrBusy
	case http.StatusServiceUnavailable:
		kind = secrets.ErrUnreachable
		if strings.Contains(said, "sealed") {
			kind = secrets.ErrSealed
		}
	case http.StatusBadRequest:
		kind = reason(said)
	case http.StatusNotFound:
		kind = secrets.ErrNoKey
	default:
		kind = secrets.ErrUnreachable
	}
	return fmt.Errorf("%w (%d %s)", kind, r.StatusCode, said)
}

// reason tells why Vault does not decrypt.
func reason(said string) error {
	switch {
	case strings.Contains(said, "not found"), strings.Contains(said, "no handler"):
		return secrets.ErrNoKey
	case strings.Contains(said, "disallowed by policy"), strings.Contains(said, "version is too old"):
		return secrets.ErrKeyDisabled
	case strings.Contains(said, "limit"), strings.Contains(said, "quota"):
		return secrets.ErrBusy
	}
	return secrets.ErrTampered
}

// cause leaves the URL of a failed request away, which the operation names.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
