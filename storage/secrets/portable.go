package secrets

import (
	"context"
	"fmt"

	"gocloud.dev/gcerrors"
	gosecrets "gocloud.dev/secrets"

	"github.com/rondo-ci/rondo/ci"
)

// Portable returns a backend of that name over a keeper of gocloud.dev/secrets:
// a key service of a cloud, for one. Such a keeper has one key as far as it
// tells, which goes by the name key; rotating it is the service's business, so
// Rotate is [ci.ErrInvalid], and whoever moves to another key configures
// another backend. The caller closes the keeper.
func Portable(name, key string, k *gosecrets.Keeper) Backend { return portable{name, key, k} }

type portable struct {
	name, key string
	keeper    *gosecrets.Keeper
}

func (p portable) Name() string { return p.name }

func (p portable) Primary(context.Context) (string, error) { return p.key, nil }

func (p portable) Wrap(ctx context.Context, dataKey []byte) (Wrapped, error) {
	b, err := p.keeper.Encrypt(ctx, dataKey)
	if err != nil {
		return Wrapped{}, p.fault("wrap", err)
	}
	return Wrapped{p.key, b}, nil
}

func (p portable) Unwrap(ctx context.Context, wrapped ...Wrapped) ([][]byte, error) {
	keys := make([][]byte, len(wrapped))
	for i, w := range wrapped {
		if w.Key != p.key {
			return nil, fmt.Errorf("unwrap by %s: %w", p.name, ErrNoKey)
		}
		var err error
		if keys[i], err = p.keeper.Decrypt(ctx, w.Data); err != nil {
			return nil, p.fault("unwrap", err)
		}
	}
	return keys, nil
}

// Rewrap does nothing: there is one key.
func (p portable) Rewrap(_ context.Context, wrapped ...Wrapped) ([]Wrapped, error) {
	return wrapped, nil
}

func (p portable) Rotate(context.Context) (string, error) {
	return "", fmt.Errorf("rotate %s: its keys are rotated where they are kept: %w", p.name, ci.ErrInvalid)
}

func (p portable) Keys(context.Context) ([]Key, error) {
	return []Key{{Name: p.key, State: KeyPrimary}}, nil
}

// fault keeps only the class of an error: the text is of a service that we do
// not know.
func (p portable) fault(op string, err error) error {
	reason := ErrUnreachable
	switch gcerrors.Code(err) {
	case gcerrors.InvalidArgument, gcerrors.Unknown, gcerrors.Internal: // drivers do not agree on what a damaged text is
		reason = ErrTampered
	case gcerrors.NotFound:
		reason = ErrNoKey
	case gcerrors.PermissionDenied:
		reason = ErrRefused
	case gcerrors.ResourceExhausted:
		reason = ErrBusy
	case gcerrors.Canceled:
		reason = context.Canceled
	case gcerrors.DeadlineExceeded:
		reason = context.DeadlineExceeded
	}
	if op == "wrap" && reason == ErrTampered {
		reason = ErrUnreachable
	}
	return fmt.Errorf("%s by %s: %w", op, p.name, reason)
}
