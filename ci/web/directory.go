package web

import (
	"context"
	"net/http"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Directory is the one that people log in with. Whether the actor may ask is
// for it to say, with [ci.ErrDenied].
type Directory interface {
	// Settings are those in force, as names and values to be shown. A secret
	// says whether it is set.
	Settings(ctx context.Context, by ci.Actor) ([][2]string, error)
	// Test logs in as somebody and returns every step. Login "" is the one of
	// the settings. With password "" that of the settings is taken, if the login
	// is theirs; without one the step that needs it is left out.
	Test(ctx context.Context, login, password string, by ci.Actor) (DirectoryTest, error)
	// Matches lists all users, and who of the directory may be the same person.
	Matches(ctx context.Context, by ci.Actor) ([]ci.Match, error)
	// Link lets a user log in as a login of the directory, Unlink no longer.
	Link(ctx context.Context, id, login string, by ci.Actor) error
	Unlink(ctx context.Context, id string, by ci.Actor) error
}

// A DirectoryTest is how a login went.
type DirectoryTest struct {
	Login string
	OK    bool
	Steps []DirectoryStep
}

// A DirectoryStep is one thing that was asked. Command asks the same by hand,
// "" if nothing does.
type DirectoryStep struct {
	Name, Asked, Command, Result string
	OK                           bool
	Took                         time.Duration
}

// directoryPath is the page of the directory, migratePath that of bringing
// users to it.
const (
	directoryPath = "/admin/ldap"
	migratePath   = "/admin/ldap/users"
)

// directoryBody is what the page of the directory shows.
type directoryBody struct {
	notice
	Settings [][2]string
	Test     *DirectoryTest
}

// Ms is how long the step took.
func (d DirectoryStep) Ms() string { return d.Took.Round(10 * time.Microsecond).String() }

// Look returns how the step is shown.
func (d DirectoryStep) Look() look {
	if d.OK {
		return lookOf(ci.Success)
	}
	return lookOf(ci.Failed)
}

// directory returns what is asked about the directory, or that there is none.
func (s *site) directory() (Directory, error) {
	if s.cfg.Chapters.Directory == nil {
		return nil, absent{"directory that people log in with: see ldap in the settings of the server"}
	}
	return s.cfg.Chapters.Directory, nil
}

// ldap serves the settings in force and the form of a test.
func (s *site) ldap(w http.ResponseWriter, r *http.Request) error {
	return s.showDirectory(w, r, http.StatusOK, directoryBody{notice: noticeOf(r)})
}

func (s *site) showDirectory(w http.ResponseWriter, r *http.Request, code int, b directoryBody) error {
	d, err := s.directory()
	if err == nil {
		b.Settings, err = d.Settings(r.Context(), actorOf(r))
	}
	if err != nil {
		return err
	}
	return s.render(w, r, code, "directory", view{Title: "LDAP", Body: b, Crumbs: []crumb{{"Admin", ""}, {"Users", usersPath}, {"LDAP", ""}}})
}

// testDirectory logs in as the form says. What was typed as the password is on
// no page and in no log.
func (s *site) testDirectory(w http.ResponseWriter, r *http.Request) error {
	d, err := s.directory()
	if err != nil {
		return err
	}
	if err := form(w, r); err != nil {
		return err
	}
	if r.PostForm.Get("do") != "test" {
		return ci.ErrNotFound
	}
	test, err := d.Test(r.Context(), r.PostForm.Get("login"), r.PostForm.Get("password"), actorOf(r))
	r.PostForm.Del("password")
	b, code := directoryBody{notice: notice{Form: r.PostForm}, Test: &test}, http.StatusOK
	if err != nil {
		n, ok := refused(err, r.PostForm)
		if !ok {
			return err
		}
		b.notice, b.Test, code = n, nil, n.Problem.Code
	}
	return s.showDirectory(w, r, code, b)
}

// migrateBody is what the page of users and the directory shows.
type migrateBody struct {
	notice
	Rows   []ci.Match
	Linked int
}

// migration serves the users, and who of the directory they may be.
func (s *site) migration(w http.ResponseWriter, r *http.Request) error {
	return s.showMigration(w, r, http.StatusOK, noticeOf(r))
}

func (s *site) showMigration(w http.ResponseWriter, r *http.Request, code int, n notice) error {
	d, err := s.directory()
	if err != nil {
		return err
	}
	b := migrateBody{notice: n}
	if b.Rows, err = d.Matches(r.Context(), actorOf(r)); err != nil {
		return err
	}
	for _, m := range b.Rows {
		if m.Linked != "" {
			b.Linked++
		}
	}
	return s.render(w, r, code, "migrate", view{
		Title: "Users of the directory", Body: b, Crumbs: []crumb{{"Admin", ""}, {"Users", usersPath}, {"LDAP", directoryPath}, {"Users of the directory", ""}},
	})
}

// migrate links a user, or takes a link back.
func (s *site) migrate(w http.ResponseWriter, r *http.Request) error {
	d, err := s.directory()
	if err != nil {
		return err
	}
	if err := form(w, r); err != nil {
		return err
	}
	id, word := r.PostForm.Get("id"), "linked"
	switch r.PostForm.Get("do") {
	case "link":
		err = d.Link(r.Context(), id, r.PostForm.Get("login"), actorOf(r))
	case "unlink":
		err, word = d.Unlink(r.Context(), id, actorOf(r)), "unlinked"
	default:
		err = ci.ErrNotFound
	}
	if err != nil {
		n, ok := refused(err, r.PostForm)
		if !ok {
			return err
		}
		return s.showMigration(w, r, n.Problem.Code, n)
	}
	done(w, migratePath, word)
	return nil
}
