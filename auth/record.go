package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The kinds of documents. A user's due time is when a directory is to be asked
// again; an identity's scope is the user; the roster is one document.
const (
	kindUser     = "user"
	kindIdentity = "user-identity"
	kindRoster   = "user-roster"
	rosterID     = "roster"
)

// tries is how often a change is made anew because others were faster. A race
// of a hundred first logins is won by one of them at a time.
const tries = 200

// A record is a user as kept.
type record struct {
	ci.User
	// Granted is the role that an administrator gave; Role is the greater of
	// it and those of the identities.
	Granted    Role       `json:"granted,omitempty"`
	Identities []Identity `json:"identities"`
	// Epoch counts the times that all sessions were ended.
	Epoch int `json:"epoch"`
	// Checked is when the directories last knew the user, Tried when they were
	// last asked in vain.
	Checked time.Time `json:"checked"`
	Tried   time.Time `json:"tried"`

	version int64
}

// A roster is what has to change together with users, so that there is one
// first administrator, and always a last one.
type roster struct {
	// Admins are the active users with [RoleAll].
	Admins []string `json:"admins,omitempty"`
	// Begun says that there was an administrator once.
	Begun bool `json:"begun,omitempty"`
	// Bootstrap is the hash of the token that makes an administrator.
	Bootstrap  string `json:"bootstrap,omitempty"`
	SuspendNew bool   `json:"suspend_new,omitempty"`
	// Join says by what users are recognised who come from a directory for the
	// first time: by provider, "email" or "login".
	Join map[string]string `json:"join,omitempty"`

	version int64
}

// actor returns the user as one who acts.
func actor(u ci.User) ci.Actor { return ci.Actor{ID: u.ID, Kind: ci.ActorUser, Login: u.Login} }

// identityID is the ID of an identity's document.
func identityID(provider, subject string) string {
	sum := sha256.Sum256([]byte(provider + "\x00" + subject))
	return hex.EncodeToString(sum[:])
}

// rank orders roles, for who has several.
func rank(r Role) int {
	return slices.Index([]Role{RoleNone, RoleAuditor, RoleOperator, RoleRead, RoleWrite, RoleAll}, r)
}

// settle makes the fields follow from the others.
func (r *record) settle() {
	role := r.Granted
	r.Logins = map[string]string{}
	for _, i := range r.Identities {
		r.Logins[i.Provider] = i.Login
		if rank(i.Role) > rank(role) {
			role = i.Role
		}
	}
	r.Role = string(role)
}

// identity returns the user's identity of a provider.
func (r *record) identity(provider string) (Identity, bool) {
	for _, i := range r.Identities {
		if i.Provider == provider {
			return i, true
		}
	}
	return Identity{}, false
}

// put replaces the identity of the same provider, or adds it.
func (r *record) put(id Identity) {
	r.Identities = slices.DeleteFunc(r.Identities, func(i Identity) bool { return i.Provider == id.Provider })
	r.Identities = append(r.Identities, id)
	if r.Name == "" {
		r.Name = id.Name
	}
	r.Emails = nil
	for _, i := range r.Identities {
		for _, e := range i.Emails {
			if !slices.Contains(r.Emails, e) {
				r.Emails = append(r.Emails, e)
			}
		}
	}
}

func (u *Users) roster(ctx context.Context) (r roster, err error) {
	d, err := u.docs.Doc(ctx, kindRoster, rosterID)
	if errors.Is(err, ci.ErrNotFound) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(d.Body, &r)
	}
	r.version = d.Version
	return r, err
}

func (r roster) change() (ci.DocChange, error) {
	body, err := json.Marshal(r)
	return ci.DocChange{Doc: ci.Doc{Kind: kindRoster, ID: rosterID, Body: body, Version: r.version}}, err
}

func recordOf(d ci.Doc) (r record, err error) {
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return r, fmt.Errorf("user %s: %w", d.ID, err)
	}
	r.version = d.Version
	return r, nil
}

func (u *Users) record(ctx context.Context, id string) (record, error) {
	d, err := u.docs.Doc(ctx, kindUser, id)
	if err != nil {
		return record{}, fmt.Errorf("user: %w", err)
	}
	return recordOf(d)
}

// write returns the document of the user, which is due when a directory has to
// be asked next.
func (u *Users) write(r record) (ci.DocChange, error) {
	body, err := json.Marshal(r)
	d := ci.Doc{Kind: kindUser, ID: r.ID, Body: body, Version: r.version}
	if r.Suspended == "" {
		d.Due = latest(r.Checked.Add(u.cfg.Recheck), r.Tried.Add(retry))
	}
	return ci.DocChange{Doc: d}, err
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// identities yields all users.
func (u *Users) all(ctx context.Context) ([]record, error) {
	var all []record
	for d, err := range u.docs.Docs(ctx, ci.DocQuery{Kind: kindUser, AllScopes: true}) {
		if err != nil {
			return nil, fmt.Errorf("list users: %w", err)
		}
		r, err := recordOf(d)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b record) int { return strings.Compare(a.Login+"\x00"+a.ID, b.Login+"\x00"+b.ID) })
	return all, nil
}
