package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
)

// kindToken is the kind of the users' tokens. Their ID is the subject.
const kindToken = "github-token"

// Kinds returns the kinds of documents with a sealed part, for whoever seals
// them anew.
func Kinds() []string { return []string{kindToken} }

func place(d ci.Doc) []string { return []string{d.Kind, d.Scope, d.ID, d.Name} }

// keep keeps the newest token of a user, sealed.
func (l *Login) keep(ctx context.Context, subject, token string) error {
	d := ci.Doc{Kind: kindToken, ID: subject, Name: subject, Body: []byte("{}"), Version: ci.AnyVersion}
	var err error
	if d.Sealed, err = l.keeper.Seal(ctx, place(d), []byte(token)); err == nil {
		_, err = l.docs.WriteDocs(ctx, ci.DocChange{Doc: d})
	}
	if err != nil {
		return fmt.Errorf("keep token of github: %w", err)
	}
	l.forget(subject)
	return nil
}

// token returns the token of a user, or [ci.ErrNotFound].
func (l *Login) token(ctx context.Context, subject string) (string, error) {
	d, err := l.docs.Doc(ctx, kindToken, subject)
	if err != nil {
		return "", fmt.Errorf("token of github: %w", err)
	}
	plain, err := l.keeper.Open(ctx, place(d), d.Sealed)
	if err != nil {
		return "", fmt.Errorf("token of github: %w", errors.New(err.Error()))
	}
	return string(plain), nil
}

// Disconnect forgets the token and the permissions of an identity of ours. It
// has the shape of auth.DoorConfig.Disconnected.
func (l *Login) Disconnect(r *http.Request, id auth.Identity) error {
	if id.Provider != Provider {
		return nil
	}
	l.forget(id.Subject)
	_, err := l.docs.WriteDocs(r.Context(), ci.DocChange{Delete: true, Doc: ci.Doc{Kind: kindToken, ID: id.Subject, Version: ci.AnyVersion}})
	return err
}
