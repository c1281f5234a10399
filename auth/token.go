package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/rondo-ci/rondo/ci"
)

// The prefixes of tokens.
const (
	ProjectPrefix  = "rondo_project_"
	PersonalPrefix = "rondo_user_"
)

// The kinds of documents. A project token's scope is its project, a personal
// one's its owner. Both have the hash of the token for an ID and their own ID,
// which may be shown, for a name.
const (
	kindProject  = "project-token"
	kindPersonal = "personal-token"
)

// MaxTokens is how many tokens a project or a person may have.
const MaxTokens = 100

// Tokens keeps tokens. All methods are safe for concurrent use.
type Tokens struct{ docs ci.Docs }

// NewTokens returns the tokens in docs.
func NewTokens(docs ci.Docs) *Tokens { return &Tokens{docs} }

// A PersonalToken is what may be shown of a person's token.
type PersonalToken struct {
	ID      string    `json:"id"`
	Owner   ci.Actor  `json:"owner"`
	Label   string    `json:"label"`
	Created time.Time `json:"created"`
	// Expires is when it is good no longer; zero is never.
	Expires time.Time `json:"expires"`
	// Used is when it was last used, to within an hour; zero is never.
	Used time.Time `json:"used"`
}

// ProjectToken returns what a token that somebody sent stands for. One that is
// unknown, has expired or was taken back is [ci.ErrNotFound].
func (t *Tokens) ProjectToken(ctx context.Context, token string) (ci.ProjectToken, error) {
	if !genuine(token, ProjectPrefix) {
		return ci.ProjectToken{}, fmt.Errorf("token: %w", ci.ErrNotFound)
	}
	one, err := find[ci.ProjectToken](ctx, t.docs, kindProject, hash(token))
	if err == nil {
		err = good(one.Expires)
	}
	if err == nil && now().Sub(one.Used) >= time.Hour {
		err = used(ctx, t.docs, kindProject, hash(token), func(one *ci.ProjectToken) { one.Used = now() })
	}
	if err != nil {
		return ci.ProjectToken{}, err
	}
	return one, nil
}

// good returns an error for what has expired.
func good(expires time.Time) error {
	if !expires.IsZero() && !now().Before(expires) {
		return fmt.Errorf("token: it has expired: %w", ci.ErrNotFound)
	}
	return nil
}

// ProjectTokens lists those of a project by time of making.
func (t *Tokens) ProjectTokens(ctx context.Context, p ci.ProjectID) ([]ci.ProjectToken, error) {
	return list[ci.ProjectToken](ctx, t.docs, kindProject, string(p))
}

// CreateProjectToken makes one that is good for so long (0 is until it is
// deleted), and returns it with its secret, which cannot be read again. A scope that is none is [ci.ErrInvalid], one token too many is
// [ci.ErrConflict].
func (t *Tokens) CreateProjectToken(ctx context.Context, p ci.ProjectID, scope ci.TokenScope, label string, life time.Duration, _ ci.Actor) (ci.ProjectToken, string, error) {
	if !ci.ScopeAll.Covers(scope) {
		return ci.ProjectToken{}, "", fmt.Errorf("create project token: the scope must be status, view-builds or all, not %.50q: %w", scope, ci.ErrInvalid)
	}
	one := ci.ProjectToken{ID: ci.NewID(), Project: p, Scope: scope, Label: label, Created: now()}
	if life > 0 {
		one.Expires = one.Created.Add(life)
	}
	secret, err := create(ctx, t.docs, kindProject, ProjectPrefix, string(p), one.ID, label, one)
	return one, secret, err
}

// DeleteProjectToken takes a token of the project back. One that is not there
// is [ci.ErrNotFound].
func (t *Tokens) DeleteProjectToken(ctx context.Context, p ci.ProjectID, id string, _ ci.Actor) error {
	return remove(ctx, t.docs, kindProject, string(p), id)
}

// PersonalToken returns whose token somebody sent. One that is unknown, has
// expired or was taken back is [ci.ErrNotFound]. Whether its owner may still do
// anything is for [Gate] to ask.
func (t *Tokens) PersonalToken(ctx context.Context, token string) (PersonalToken, error) {
	if !genuine(token, PersonalPrefix) {
		return PersonalToken{}, fmt.Errorf("token: %w", ci.ErrNotFound)
	}
	one, err := t.personal(ctx, hash(token))
	if err == nil && now().Sub(one.Used) >= time.Hour {
		err = used(ctx, t.docs, kindPersonal, hash(token), func(one *PersonalToken) { one.Used = now() })
	}
	if err != nil {
		return PersonalToken{}, err
	}
	return one, nil
}

// personal returns the token of a hash, if it is good.
func (t *Tokens) personal(ctx context.Context, id string) (PersonalToken, error) {
	one, err := find[PersonalToken](ctx, t.docs, kindPersonal, id)
	if err == nil {
		err = good(one.Expires)
	}
	return one, err
}

// used notes that a token is used, unless somebody else just did.
func used[T any](ctx context.Context, docs ci.Docs, kind, id string, note func(*T)) error {
	d, err := docs.Doc(ctx, kind, id)
	if errors.Is(err, ci.ErrNotFound) {
		return fmt.Errorf("token: %w", ci.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	var one T
	if err := json.Unmarshal(d.Body, &one); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	note(&one)
	if d.Body, err = json.Marshal(one); err == nil {
		_, err = docs.WriteDocs(ctx, ci.DocChange{Doc: d})
	}
	if err != nil && !errors.Is(err, ci.ErrConflict) {
		return fmt.Errorf("token: %w", err)
	}
	return nil
}

// PersonalTokens lists those of a person by time of making.
func (t *Tokens) PersonalTokens(ctx context.Context, owner ci.Actor) ([]PersonalToken, error) {
	return list[PersonalToken](ctx, t.docs, kindPersonal, owner.ID)
}

// CreatePersonalToken makes a token that stands for the owner for so long (0 is
// until it is deleted), and returns it with its secret, which cannot be read
// again.
func (t *Tokens) CreatePersonalToken(ctx context.Context, owner ci.Actor, label string, life time.Duration) (PersonalToken, string, error) {
	if owner.ID == "" || owner.Kind != ci.ActorUser {
		return PersonalToken{}, "", fmt.Errorf("create personal token: only people have one: %w", ci.ErrInvalid)
	}
	one := PersonalToken{ID: ci.NewID(), Owner: owner, Label: label, Created: now()}
	if life > 0 {
		one.Expires = one.Created.Add(life)
	}
	secret, err := create(ctx, t.docs, kindPersonal, PersonalPrefix, owner.ID, one.ID, label, one)
	return one, secret, err
}

// DeletePersonalToken takes a token of the owner back. One that is not there
// is [ci.ErrNotFound].
func (t *Tokens) DeletePersonalToken(ctx context.Context, owner ci.Actor, id string) error {
	return remove(ctx, t.docs, kindPersonal, owner.ID, id)
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func find[T any](ctx context.Context, docs ci.Docs, kind, id string) (one T, err error) {
	d, err := docs.Doc(ctx, kind, id)
	if errors.Is(err, ci.ErrNotFound) {
		return one, fmt.Errorf("token: %w", ci.ErrNotFound) // without the hash
	}
	if err == nil {
		err = json.Unmarshal(d.Body, &one)
	}
	if err != nil {
		return one, fmt.Errorf("token: %w", err)
	}
	return one, nil
}

func list[T any](ctx context.Context, docs ci.Docs, kind, scope string) ([]T, error) {
	var all []T
	for d, err := range docs.Docs(ctx, ci.DocQuery{Kind: kind, Scope: scope}) {
		var one T
		if err == nil {
			err = json.Unmarshal(d.Body, &one)
		}
		if err != nil {
			return nil, fmt.Errorf("list tokens: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

func create(ctx context.Context, docs ci.Docs, kind, prefix, scope, id, label string, one any) (string, error) {
	if n := len([]rune(label)); n > 200 {
		return "", fmt.Errorf("create token: the label has %d characters, 200 are allowed: %w", n, ci.ErrInvalid)
	}
	if strings.ContainsFunc(label, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }) {
		return "", fmt.Errorf("create token: the label has line breaks or characters that nobody sees, take them away: %w", ci.ErrInvalid)
	}
	n, err := ci.CountDocs(docs.Docs(ctx, ci.DocQuery{Kind: kind, Scope: scope, Limit: MaxTokens}))
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	if n >= MaxTokens {
		return "", fmt.Errorf("create token: there are %d already; delete one that is not used: %w", n, ci.ErrConflict)
	}
	body, err := json.Marshal(one)
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	secret := newSecret(prefix)
	_, err = docs.WriteDocs(ctx, ci.DocChange{Doc: ci.Doc{Kind: kind, ID: hash(secret), Scope: scope, Name: id, Body: body}})
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	return secret, nil
}

func remove(ctx context.Context, docs ci.Docs, kind, scope, id string) error {
	d, err := docs.DocNamed(ctx, kind, scope, id)
	if err == nil {
		_, err = docs.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true})
	}
	if err != nil {
		return fmt.Errorf("delete token: %w", err)
	}
	return nil
}
