package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// kindSession is the kind of sessions. Their ID is the hash of the secret,
// their scope the user, their name what may be shown, and they are due when
// they end.
const kindSession = "user-session"

const sessionPrefix = "rondo_session_"

// maxSessions is how many sessions a user may have; one more ends the oldest.
const maxSessions = 100

// seen is how old the note of a session's last use may be.
const seen = 5 * time.Minute

type session struct {
	ci.Session
	Epoch int `json:"epoch"`
}

// open makes a session.
func (u *Users) open(ctx context.Context, r record, v Visit) (string, error) {
	now := u.now()
	s := session{Epoch: r.Epoch, Session: ci.Session{ID: ci.NewID(), User: r.ID, Created: now, Seen: now, Address: v.Address, Agent: clip(v.Agent)}}
	kept, err := u.sessions(ctx, r.ID)
	if err != nil {
		return "", err
	}
	var changes []ci.DocChange
	if len(kept) >= maxSessions {
		oldest := kept[0]
		for _, d := range kept {
			if d.Created.Before(oldest.Created) {
				oldest = d
			}
		}
		oldest.Version = ci.AnyVersion
		changes = append(changes, ci.DocChange{Doc: oldest, Delete: true})
	}
	secret := newSecret(sessionPrefix)
	c, err := u.sessionDoc(s, hash(secret), 0)
	if err == nil {
		_, err = u.docs.WriteDocs(ctx, append(changes, c)...)
	}
	if err != nil {
		return "", fmt.Errorf("open session: %w", err)
	}
	return secret, nil
}

// ends returns when a session ends if nobody uses it.
func (u *Users) ends(s session) time.Time {
	idle, life := s.Seen.Add(u.cfg.Idle), s.Created.Add(u.cfg.Life)
	if idle.Before(life) {
		return idle
	}
	return life
}

func (u *Users) sessionDoc(s session, id string, version int64) (ci.DocChange, error) {
	body, err := json.Marshal(s)
	return ci.DocChange{Doc: ci.Doc{Kind: kindSession, ID: id, Scope: s.User, Name: s.ID, Body: body, Due: u.ends(s), Version: version}}, err
}

func (u *Users) sessions(ctx context.Context, user string) ([]ci.Doc, error) {
	var all []ci.Doc
	for d, err := range u.docs.Docs(ctx, ci.DocQuery{Kind: kindSession, Scope: user}) {
		if err != nil {
			return nil, fmt.Errorf("sessions: %w", err)
		}
		all = append(all, d)
	}
	return all, nil
}

// Session returns whose session it is. One that has ended, in whatever way, or
// whose user may do nothing, is [ci.ErrDenied].
func (u *Users) Session(ctx context.Context, secret string) (ci.User, ci.Session, error) {
	if !genuine(secret, sessionPrefix) {
		return ci.User{}, ci.Session{}, errNoSession
	}
	r, s, d, err := u.sessionOf(ctx, hash(secret))
	if err != nil {
		return ci.User{}, ci.Session{}, err
	}
	now := u.now()
	if now.Sub(s.Seen) >= seen {
		s.Seen = now
		c, err := u.sessionDoc(s, d.ID, d.Version)
		if err == nil {
			_, err = u.docs.WriteDocs(ctx, c)
		}
		if err != nil && !errors.Is(err, ci.ErrConflict) { // another request of the same browser notes it
			return ci.User{}, ci.Session{}, fmt.Errorf("session: %w", err)
		}
	}
	return r.User, s.Session, nil
}

var errNoSession = fmt.Errorf("log in first: %w", ci.ErrDenied)

// sessionOf returns the session of a hash and its user, if both are good.
func (u *Users) sessionOf(ctx context.Context, id string) (record, session, ci.Doc, error) {
	var s session
	d, err := u.docs.Doc(ctx, kindSession, id)
	if errors.Is(err, ci.ErrNotFound) {
		return record{}, s, d, errNoSession
	}
	if err == nil {
		err = json.Unmarshal(d.Body, &s)
	}
	if err != nil {
		return record{}, s, d, fmt.Errorf("session: %w", err)
	}
	if !u.now().Before(u.ends(s)) {
		return record{}, s, d, errNoSession
	}
	r, err := u.alive(ctx, s.User)
	if err == nil && r.Epoch != s.Epoch {
		err = errNoSession
	}
	return r, s, d, err
}

// LogOut ends a session. One that has ended already is no error.
func (u *Users) LogOut(ctx context.Context, secret string) error {
	if !genuine(secret, sessionPrefix) {
		return nil
	}
	d, err := u.docs.Doc(ctx, kindSession, hash(secret))
	if errors.Is(err, ci.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	who := record{User: ci.User{ID: d.Scope}}
	if r, err := u.record(ctx, d.Scope); err == nil {
		who = r
	}
	event, err := u.note(ctx, u.act(actionLoggedOut, actor(who.User), who, map[string]string{"session": d.Name}))
	if err != nil {
		return err
	}
	d.Version = ci.AnyVersion
	_, err = u.docs.WriteDocs(ctx, append(event, ci.DocChange{Doc: d, Delete: true})...)
	return err
}

// Sessions lists those of a user that have not ended. by is the user or
// allowed to read settings.
func (u *Users) Sessions(ctx context.Context, id string, by ci.Actor) ([]ci.Session, error) {
	if by.ID != id || by.Kind != ci.ActorUser {
		if err := u.Allowed(ctx, by, RoleRead); err != nil {
			return nil, err
		}
	}
	r, err := u.record(ctx, id)
	if err != nil {
		return nil, err
	}
	docs, err := u.sessions(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []ci.Session
	for _, d := range docs {
		var s session
		if err := json.Unmarshal(d.Body, &s); err != nil {
			return nil, fmt.Errorf("session: %w", err)
		}
		if s.Epoch == r.Epoch && u.now().Before(u.ends(s)) {
			all = append(all, s.Session)
		}
	}
	return all, nil
}

// EndSessions logs a user out everywhere. by is the user or an administrator.
func (u *Users) EndSessions(ctx context.Context, id string, by ci.Actor) error {
	if by.ID != id || by.Kind != ci.ActorUser {
		if err := u.Allowed(ctx, by, RoleAll); err != nil {
			return err
		}
	}
	_, err := u.change(ctx, id, actionSessionsOut, by, func(d *draft) (map[string]string, error) {
		d.Epoch++
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return u.sweep(ctx, id)
}

// sweep removes the sessions of a user, which are good for nothing any more.
func (u *Users) sweep(ctx context.Context, user string) error {
	docs, err := u.sessions(ctx, user)
	if err != nil {
		return err
	}
	r, err := u.record(ctx, user)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return err
	}
	for _, d := range docs {
		var s session
		if json.Unmarshal(d.Body, &s) == nil && err == nil && s.Epoch == r.Epoch {
			continue
		}
		d.Version = ci.AnyVersion
		if _, err := u.docs.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true}); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
	}
	return nil
}

// genuine reports whether a secret has the form of one of ours, so that a
// mistyped or made-up one costs no look into the database.
func genuine(secret, prefix string) bool {
	rest, ok := strings.CutPrefix(secret, prefix)
	if !ok || len(rest) != secretLen+checkLen {
		return false
	}
	return same(rest[secretLen:], checksum(prefix+rest[:secretLen]))
}
