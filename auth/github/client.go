package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
)

// maxAnswer is how many bytes of an answer are read, maxPages how many pages
// of a list.
const (
	maxAnswer = 8 << 20
	maxPages  = 100
)

// errRevoked says that a user's token is good for nothing any more.
var errRevoked = errors.New("github: the user has revoked the token")

// small asks for JSON, and reads no more of an answer than is sensible.
type small struct{ next http.RoundTripper }

func (s small) RoundTrip(r *http.Request) (*http.Response, error) {
	next := s.next
	if next == nil {
		next = http.DefaultTransport
	}
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "application/json")
	res, err := next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, 64<<10), res.Body}
	}
	return res, err
}

// get asks the API in the name of a user, and reports whether there is a next
// page.
func (l *Login) get(ctx context.Context, token, path string, v any) (more bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.api+path, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	res, err := l.client.Do(r)
	if err != nil {
		return false, fmt.Errorf("github: %w", err)
	}
	defer res.Body.Close()
	bare, _, _ := strings.Cut(path, "?")
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return false, errRevoked
	case res.StatusCode == http.StatusForbidden && res.Header.Get("X-GitHub-SSO") != "":
		return false, fmt.Errorf("github: %s: the organisation wants the token to be authorised for its single sign-on", bare)
	case res.StatusCode != http.StatusOK:
		return false, fmt.Errorf("github: %s answered %d", bare, res.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(v); err != nil {
		return false, fmt.Errorf("github: %s: the answer is no JSON that was asked for", bare)
	}
	return strings.Contains(res.Header.Get("Link"), `rel="next"`), nil
}

// each calls take with each of a list. Where the host goes to next is not
// asked from it: pages are counted.
func each[T any](ctx context.Context, l *Login, token, path string, take func(T)) error {
	for n := 1; n <= maxPages; n++ {
		var page []T
		more, err := l.get(ctx, token, fmt.Sprintf("%s?per_page=100&page=%d", path, n), &page)
		if err != nil {
			return err
		}
		if page == nil {
			return fmt.Errorf("github: %s: no list was answered", path)
		}
		for _, one := range page {
			take(one)
		}
		if !more {
			return nil
		}
	}
	return fmt.Errorf("github: %s has more than %d pages", path, maxPages)
}

type person struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
	Name  string `json:"name"`
}

type email struct {
	Email    string `json:"email"`
	Primary  bool   `json:"primary"`
	Verified bool   `json:"verified"`
}

type organisation struct {
	Login string `json:"login"`
}

// identity asks whose token it is. Who is in none of the organisations of the
// settings is [ci.ErrDenied].
func (l *Login) identity(ctx context.Context, token string) (auth.Identity, error) {
	var p person
	if _, err := l.get(ctx, token, "/user", &p); err != nil {
		return auth.Identity{}, err
	}
	if p.ID <= 0 || p.Login == "" {
		return auth.Identity{}, errors.New("github: /user: the answer names nobody")
	}
	id := auth.Identity{Provider: Provider, Subject: l.Subject(fmt.Sprint(p.ID)), Login: p.Login, Name: p.Name}
	err := each(ctx, l, token, "/user/emails", func(e email) {
		switch {
		case !e.Verified || e.Email == "":
		case e.Primary:
			id.Emails = append([]string{e.Email}, id.Emails...)
		default:
			id.Emails = append(id.Emails, e.Email)
		}
	})
	if err != nil || len(l.cfg.Orgs) == 0 {
		return id, err
	}
	member := false
	err = each(ctx, l, token, "/user/orgs", func(o organisation) {
		for _, allowed := range l.cfg.Orgs {
			member = member || strings.EqualFold(allowed, o.Login)
		}
	})
	if err == nil && !member {
		err = fmt.Errorf("%s is in none of the organisations that may log in here: %w", p.Login, ci.ErrDenied)
	}
	return id, err
}

// Lookup implements auth.Directory: it asks GitHub in the user's own name.
// Whose token was revoked, or who has left the organisations, is
// [ci.ErrNotFound].
func (l *Login) Lookup(ctx context.Context, subject string) (auth.Identity, error) {
	token, err := l.token(ctx, subject)
	if err != nil {
		return auth.Identity{}, err
	}
	id, err := l.identity(ctx, token)
	if errors.Is(err, errRevoked) || errors.Is(err, ci.ErrDenied) || err == nil && id.Subject != subject {
		return auth.Identity{}, fmt.Errorf("github account: %w", ci.ErrNotFound)
	}
	return id, err
}
