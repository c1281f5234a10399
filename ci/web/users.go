package web

import (
	"context"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// Users keeps the people who may use the installation. Whether the actor may
// see or change them is for it to say, with [ci.ErrDenied].
type Users interface {
	// Users lists them by login.
	Users(ctx context.Context, by ci.Actor) ([]ci.User, error)
	SetRole(ctx context.Context, id, role string, by ci.Actor) (ci.User, error)
	Suspend(ctx context.Context, id string, suspended bool, by ci.Actor) (ci.User, error)
	// DeleteUser forgets the user of a login at a forge or directory.
	DeleteUser(ctx context.Context, login, forge string, by ci.Actor) error
	UserSettings
	UserSessions
}

// UserSettings say what becomes of new users.
type UserSettings interface {
	// SuspendNew reports whether new users wait for an administrator.
	SuspendNew(ctx context.Context) (bool, error)
	SetSuspendNew(ctx context.Context, suspend bool, by ci.Actor) error
}

// UserSessions are the browsers in which users are logged in.
type UserSessions interface {
	Sessions(ctx context.Context, id string, by ci.Actor) ([]ci.Session, error)
	// EndSessions logs a user out everywhere.
	EndSessions(ctx context.Context, id string, by ci.Actor) error
}

// usersPath is the page of users, as the guide has it.
const usersPath = "/admin/users"

// usersBody is what the page of users shows.
type usersBody struct {
	notice
	Rows       []userRow
	Roles      [][2]string // the word, and what it is called
	SuspendNew bool
	Directory  bool // people log in by one
}

// A userRow is a user and where they are logged in.
type userRow struct {
	ci.User
	Forge    string // by which the user is named when deleted
	Sessions int
}

var roles = [][2]string{
	{"", "none"}, {"read-settings", "read settings"}, {"write-settings", "write settings"}, {"all", "administrator"},
	{"auditor", "auditor"}, {"operator", "operator"},
}

// users serves the list of users.
func (s *site) users(w http.ResponseWriter, r *http.Request) error {
	return s.showUsers(w, r, http.StatusOK, noticeOf(r))
}

func (s *site) showUsers(w http.ResponseWriter, r *http.Request, code int, n notice) error {
	ask, by := s.cfg.Chapters.Users, actorOf(r)
	if ask == nil {
		return absent{"users: whoever has its token is its one user"}
	}
	all, err := ask.Users(r.Context(), by)
	if err != nil {
		return err
	}
	b := usersBody{notice: n, Roles: roles, Directory: s.cfg.Chapters.Directory != nil}
	for _, u := range all {
		sessions, err := ask.Sessions(r.Context(), u.ID, by)
		if err != nil && !hidden(err) {
			return err
		}
		row := userRow{User: u, Sessions: len(sessions)}
		for _, forge := range []string{"local", "ldap", "github"} {
			if u.Logins[forge] != "" {
				row.Forge = forge
			}
		}
		b.Rows = append(b.Rows, row)
	}
	if b.SuspendNew, err = ask.SuspendNew(r.Context()); err != nil {
		return err
	}
	return s.render(w, r, code, "users", view{Title: "Users", Body: b, Crumbs: []crumb{{"Admin", ""}}})
}

// changeUsers does what a button of the list asks for.
func (s *site) changeUsers(w http.ResponseWriter, r *http.Request) error {
	ask, by, ctx := s.cfg.Chapters.Users, actorOf(r), r.Context()
	if ask == nil {
		return absent{"users: whoever has its token is its one user"}
	}
	if err := form(w, r); err != nil {
		return err
	}
	id, word := r.PostForm.Get("id"), "user"
	var err error
	switch r.PostForm.Get("do") {
	case "role":
		_, err = ask.SetRole(ctx, id, r.PostForm.Get("role"), by)
	case "suspend":
		_, err = ask.Suspend(ctx, id, true, by)
	case "reinstate":
		_, err = ask.Suspend(ctx, id, false, by)
	case "logout":
		err = ask.EndSessions(ctx, id, by)
	case "delete":
		err, word = ask.DeleteUser(ctx, r.PostForm.Get("login"), r.PostForm.Get("forge"), by), "user-gone"
	case "settings":
		err = ask.SetSuspendNew(ctx, r.PostForm.Get("suspend_new") != "", by)
	default:
		err = ci.ErrNotFound
	}
	if err != nil {
		n, ok := refused(err, r.PostForm)
		if !ok {
			return err
		}
		return s.showUsers(w, r, n.Problem.Code, n)
	}
	done(w, usersPath, word)
	return nil
}
